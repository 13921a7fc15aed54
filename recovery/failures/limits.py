"""Rules on limits: what is allowed in a time, at once, of a plan, for money, or of a context."""

from __future__ import annotations

from typing import Final

from recovery.failures.evidence import CANCELLED
from recovery.failures.kinds import Rule, coded, says

_MINUTE: Final = (
    r"per[ _-]?(?:minute|min|second|sec)\b|per(?:minute|second)|_per_(?:minute|second)"
    r"|(?:this|each|every|last) (?:minute|second)\b|/ ?(?:min|minute|sec|second)\b|\b(?:tpm|rpm|rps"
    r"|qps)\b"
)
_LONGER: Final = (
    r"per[ _-]?(?:day|week|month)\b|per(?:day|week|month)|_per_day|/ ?(?:day|month)\b"
    r"|\b(?:tpd|rpd)\b|\b(?:daily|weekly|monthly)\b"
)
_HINT: Final = (
    r"(?:try again|retry)[ a-z]{0,16}(?: in| after) (?!\d{1,9}(?:\.\d{1,9})? ?(?:h|d|w))\d"
    r"|retry[_-]?delay\W{1,8}(?:seconds\W{1,6})?(?!\d{4})\d|retry[_-]after\W{1,6}(?!\d{4})\d"
    r"|resets? (?:in|after) (?:\d{1,2}m)?\d{1,2}(?:\.\d{1,9})?s\b"
)
_SPENT: Final = (
    r"insufficient[_ ]quota|credit balance|\blimit: 0\b|out of credits|billing (?:hard|is)"
    r"|not active|purchase more|add credits"
)
_OUTPUT_ONLY: Final = (
    r"\boutput tokens|completion length|max_(?:completion_|output_)?tokens(?!.{0,40}context)"
    r"|rate.?limit"
)
_OF_A_TOOL: Final = r"\binvalid '?(?:tools|functions)\b"
_THROTTLED: Final = (
    r"rate.?limit(?!s?/|-)|too many requests|throttl|\A(?:\d{3} )?service.unavailable:"
)

LIMITS: Final[tuple[Rule, ...]] = (
    coded("unknown", "cancelled",
        "somebody stopped it on purpose: nothing failed, and nothing is tried again",
        CANCELLED,
        example="asyncio.exceptions.CancelledError: Cancelled by cancel scope 7fd1354545d0",
    ),
    says("invalid_request", "memory_of_the_host",
        "the model needs more memory than its host has",
        "requires more system memory",
        example="model requires more system memory (2.7 GiB) than is available (2.3 GiB)",
    ),
    says("invalid_request", "outdated_client",
        "the service answers no program as old as this one",
        r"please (?:update|upgrade) (?:to the latest version|your (?:client|app|extension|cli|ide))"
        r"|\b(?:client|cli|version) (?:version )?(?:of (?:\S{1,40} ){1,3})?is "
        "(?:too old|outdated|out of date|no longer supported)",
        example="This version of the editor is no longer supported. Please update to go on.",
    ),
    says("transient", "cut_stream",
        "the answer's stream was cut, whatever status the pieces bear",
        r"payload is not completed|transferencodingerror|contentlengtherror",
        example="ClientPayloadError: Response payload is not completed: <TransferEncodingError: "
        "400, message='Not enough data to satisfy transfer length header.'>",
    ),
    says("overflow", "request_over_allowance",
        "one request is larger than the whole allowance: waiting never helps, a smaller one does",
        "request too large for ",
        exceeds="limit:? (?P<most>[0-9][0-9,]{0,17}), (?:used:? [0-9,]{1,18}, )?requested:? "
        "(?P<asked>[0-9][0-9,]{0,17})",
        example="Request too large for gpt-4o on tokens per min: Limit 30000, Requested 30001.",
    ),
    says("overflow", "request_too_large",
        "a request is too large, and nothing is said of an allowance that time brings back",
        "request too large for .{0,400}(?:must be reduced|reduce your message|please reduce)",
        unless=rf"{_MINUTE}|{_LONGER}",
        example="Request too large for gpt-4o: the input or output tokens must be reduced.",
    ),
    says("rate_limited", "limit_per_minute",
        "a limit per minute or per second passes by itself, even where it is called a quota",
        rf"(?:quota|limit|exceed|exhaust|too many|too large|throttl)(?s:.){{0,400}}?(?:{_MINUTE})",
        rf"(?:{_MINUTE})(?s:.){{0,400}}?(?:quota|limit|exceed|exhaust|too many|throttl)",
        r"online_prediction_\w{1,40}_per_base_model",
        unless=rf"{_LONGER}|{_SPENT}",
        example='429 - {"detail":"Rate limit: 100/min"}',
    ),
    says("quota", "quota_id_per_day",
        "a limit per day, week or month; no wait of minutes helps",
        r"per(?:day|week|month)(?:per|-|\b|[\"'])|_per_day",
        example="429 RESOURCE_EXHAUSTED {'quotaId': 'GenerateRequestsPerDayPerProjectPerModel'}",
    ),
    says("rate_limited", "short_quota_wait",
        "the provider itself says to retry in so many seconds",
        "quota",
        also=rf"{_HINT}",
        unless=rf"{_LONGER}|{_SPENT}|replenish|[45] ?-?h(?:ou)?r limit",
        example="You have exhausted your capacity on this model. Your quota will reset after 12s.",
    ),
    says("rate_limited", "concurrency",
        "too many requests at the same time",
        r"(?:concurren\w{0,8}|parallel requests?).{0,40}(?:limit|exceed|reduce|too many|quota)",
        "(?:limit|exceed|too many|high).{0,40}concurren",
        example="Concurrency limit reached: you already have 4 requests running.",
    ),
    says("quota", "limit_per_day",
        "a limit per day, week or month that names no short wait",
        rf"(?:{_LONGER}).{{0,100}}(?:limit|quota|exceed|reached|credits|allow|exhaust|spend)",
        "(?:limit|quota|exceed|reached|credits|allow|exhaust|used|too many|limited to"
        rf"|may only use).{{0,100}}(?:{_LONGER})",
        unless=rf"rate.?limit reached for .{{0,300}}(?:{_HINT})",
        example="You've hit your org's monthly usage limit",
    ),
    coded("quota", "quota_codes",
        "the provider's own word for money or an allowance that is used up",
        """
        insufficient_quota quota_exceeded exceeded_current_quota_error exceeded_quota
        billing_hard_limit_reached billing_not_active billing_error BILLING_DISABLED
        credit_balance_too_low insufficient_credits insufficient_balance insufficient_funds
        not_enough_credits out_of_credits payment_required budget_exceeded CreditLimitExceeded
        spend_limit_reached spending_limit_exceeded usage_limit_reached usage_limit_exceeded
        usage_limit GoUsageLimitError FreeUsageLimitError usage_not_included CreditsError
        ServiceQuotaExceededException user_weekly_rate_limited user_monthly_rate_limited
        user_global_rate_limited_weekly MONTHLY_REQUEST_COUNT
        subscription_sharing_usage_limit_exceeded free_tier_limit daily_limit_exceeded
        monthly_limit_exceeded out_of_quota quota_exhausted quota_limit_exceeded
        insufficient_user_quota arrearage account_deactivated_billing credits_exhausted
        balance_exhausted QuotaLimit
        """,
        example="OpenAI API error: billing_hard_limit_reached",
    ),
    says("quota", "money",
        "money: a balance, credits, a budget, a spending limit or an unpaid bill",
        r"(?:insufficient|not enough|low|negative|exceed\w{0,4}|used all|run out of|out of"
        r"|used up)[_ ](?:\w{1,20}[_ ]){0,3}(?:balance|credits?|funds)\b",
        r"(?:balance|credits?|funds)\b.{0,40}(?:too low|insufficient|depleted|exhausted"
        "|used up|run out|is negative|is low|exceeded|expired)",
        r"\bout of (?:budget|credits|extra usage)|budget (?:limit )?(?:has been )?exceeded",
        r"exceed\w{0,4} budget|exceeded.{0,60}\bbudget\b|over budget",
        "(?:spend|spending|credit|cost|billing)[_ ](?:hard[_ ])?limit|payment (?:is )?required",
        "payment method|unpaid|past invoices",
        r"(?:account|payment|balance|bill)\b.{0,30}(?:past due|overdue|arrears)",
        r"\bbilling (?:account|details?|information|hard|is not|issue|error|problem|failed"
        "|status|disabled|inactive|not|to be enabled|on our)",
        r"(?:check|enable|update|activate|set up) (?:your |the )?(?:plan and )?billing\b",
        r"requires? (?:billing|more credits)|can only afford|\bcredits are required|\bneed credits|"
        "purchase (?:more |additional )?credits",
        r"\b(?:add|buy) (?:more )?(?:credits|funds)\b|\btop.?up\b|\brecharge\b"
        "|available balance",
        r"\u4f59\u989d\u4e0d\u8db3|\u6b20\u8d39|\u5269\u4f59\u989d\u5ea6"
        r"|\u989d\u5ea6.{0,4}(?:\u4e0d\u8db3|\u5931\u8d25|\u7528\u5b8c|\u7528\u5c3d|\u8017\u5c3d)",
        "no (?:more )?credits (?:left|remain|available)"
        r"|(?:not|n't) have (?:any|enough) (?:\w{1,20} )?(?:credits|balance|funds)",
        r"key limit exceeded|extra usage is required|\bout of (?:call volume )?quota\b",
        r"need a (?:\w{1,20} )?subscription|upgrade your (?:plan|subscription) to continue"
        r"|upgrade to (?:plus|pro|max|team)\b|\bcard (?:was )?declined",
        unless="location is not supported|rate.?limit reached for|temporarily rate.?limited"
        "|rate limit is exceeded|exceeded (?:token|call) rate limit",
        example="Credit balance is too low",
    ),
    says("quota", "allowance_used_up",
        "an allowance that is used up",
        r"insufficient[_ ](?:\w{1,20}[_ ])?quota",
        r"(?:current|your|the|account|free|usage) quota\b.{0,40}(?:exceed|exhaust|reach"
        "|used|plan)",
        r"exceed\w{0,4} (?:(?:your|the|its|their|current|free|monthly|account"
        r"|usage) ){0,3}(?:\w{1,20} )?quota",
        "quota (?:has been |is |was |limit )?(?:exceeded|exhausted|reached|used)|quota_exceeded",
        r"usage[_ ]limits?\b|usagelimit",
        "(?:hit|reached|exceeded|used"
        r"|over) your (?:(?!rate\b)[\w'-]{1,20} ){0,4}(?:limits?|allowance)\b",
        r"\b\d{1,3}[ -]?(?:hours?|hr?) (?:usage )?limit|\bsession limit|\bplan limit",
        r"free tier limit|limit reached\W{1,4}\d{10}",
        "limit of your (?:current )?(?:plan|subscription)|(?:request|token) allowance",
        r"used (?:up )?all (?:of )?(?:your|the) (?:\w{1,20} ){0,3}(?:tokens|requests"
        "|messages)",
        r"out of (?:premium|free) requests|free allocation|free tier .{0,30}\bexhausted",
        "(?:limit|quota) (?:will )?(?:be )?resets? (?:at|on|in|after)|regain access",
        r"\blimit reached\W{1,6}resets\b|\breached for this (?:month|week|day)\b"
        r"|\u4f7f\u7528\u4e0a\u9650",
        r"exhausted your (?:\w{1,20} ){0,2}(?:quota|capacity|limit|credits)",
        r"\b(?:package|plan|subscription) (?:has |is )?expired\b",
        unless=r"\bcontext[ _-]?(?:win|len|size|limit|exceed|is)|rate limit(?! per day)|concurren"
        "|requests? per|tokens? per|prompt is"
        "|rate_limit_exceeded|input (?:token|length)|max(?:imum)? tokens|limit_requests"
        "|current request limit|not your usage limit",
        example="5-hour limit reached \u2219 resets 3am",
    ),
    coded("rate_limited", "throttling_codes",
        "the provider's own word for too many requests",
        """
        rate_limit_error rate_limit_exceeded rate_limited rate_limits rate_limit_reached_error
        too_many_requests ThrottlingException ThrottledException RequestThrottled
        RequestLimitExceeded ThrottledRequest SlowDown ProvisionedThroughputExceededException
        ModelThrottledException RESOURCE_EXHAUSTED tokens_limit_exceeded user_rate_limited
        request_quota_exceeded token_quota_exceeded queue_exceeded capacity_exceeded
        service_tier_capacity_exceeded user_model_rate_limited engine_rate_limited
        concurrency_limit_exceeded TransactionLimit upstream_rate_limited Throttling.RateQuota
        Throttling.AllocationQuota TooManyTokens limit_requests limit_burst_rate
        AppIdQpsOverFlowError
        """,
        unless="server had an error",
        example="TooManyRequests: throttled by gateway",
    ),
    says("rate_limited", "throttled",
        "the request was throttled",
        "rate.?limit (?:has been |was |is |have been )?(?:reached|exceeded|hit|error|surpassed)",
        r"(?:reach|exceed|hit|surpass)\w{0,3} (?:\S{1,40} ){0,6}rate.?limits?\b",
        r"rate.?limited?\b.{0,30}exceed|rate.?limit.{0,60}(?:try again|retry|slow down"
        "|wait)",
        "(?:being|temporarily|been|was|were|are) rate.?limited|too many requests|limiting requests",
        "throttl(?:ed|ing)|request rate (?:too|increased)|rate exceeded",
        "reached (?:organization|user|project) max (?:rpm|tpm|tpd|concurrency)|slow down",
        r"error code:? 1015\b|capacity exceeded|usage increase rate",
        "too many tokens.{0,20}(?:wait|rate|for team)|resource (?:has been )?exhausted",
        r"resource_exhausted|limited to \d+ api calls",
        r"exceeded your (?:\w{1,20} )?token usage|\brate.?limiter\b",
        unless="invalid (?:value|parameter|argument)|unsupported",
        example="AI_APICallError: Rate limit exceeded",
    ),
    says("overflow", "tokens_over_maximum",
        "so many tokens, and the maximum, which is smaller",
        r"\btokens?\b ?> ?[\d,]{1,12} (?:maximum|max\b)",
        r"\bexceeds? .{0,30}\bmax_(?:seq|model|context|position)\w{0,14}\b",
        r"\btokens of context\b|\bexceeds? (?:the )?(?:model(?:'s)? )?context\b"
        r"|\bfit (?:the |your )?(?:prompt|input|conversation|messages?) in",
        r"maximum allowed content length|\btokens? [\d,]{1,12} > (?:context|limit"
        r"|max)\w{0,10} [\d,]|\bcontext window\b.{0,40}\bis [\d,]{3,12} tokens\b"
        r"|\btokens\b.{0,40}\bexceeds? (?:the )?max(?:imum)? (?:message|prompt|input)",
        r"\b(?:sequence|input|prompt|context|token) length.{0,20}\bexceed"
        r"|\b(?:prompt|input)_?tokens?\b.{0,40}\b(?:must|should) be (?:less|smaller|fewer|at most)",
        unless=_OUTPUT_ONLY,
        unless_statuses=(402, 429),
        example='"Sequence length 9000 exceeds maximum 8192"',
    ),
    coded("overflow", "overflow_codes",
        "the provider's own word for a context that is too long",
        """
        context_length_exceeded ContextWindowExceededError model_context_window_exceeded
        exceed_context_size_error context_size_exceeded context_length_error prompt_too_long
        request_too_large RequestEntityTooLarge input_too_long max_context_length_exceeded
        tokens_limit_reached context_overflow PayloadTooLarge LLMContextLengthExceededException
        input_tokens_exceeded token_limit_exceeded context_limit_exceeded
        """,
        unless=rf"{_THROTTLED}|{_OF_A_TOOL}",
        example="context_length_exceeded: please shorten your prompt",
    ),
    says("overflow", "prompt_too_long",
        "the prompt is longer than the model's context",
        "(?:prompt|input|message|messages|conversation|request|context"
        r"|history)\b.{0,40}(?:is|are|was) (?:too long|too large for|longer than"
        "|larger than the)",
        "prompt_too_long|request_too_large",
        "context.?(?:window|length|size).?exceeded|maximum context len|token length too long",
        r"(?:exceed\w{0,4}|over|beyond|past|larger than|longer than"
        "|greater than) .{0,60}context[ _-]?(?:window|length|size|limit)",
        "context[ _-]?(?:window|length|size|limit).{0,40}(?:exceed|overflow|is full|reached|too)",
        "exceed.{0,20}maximum context|context the overflows|context (?:window )?(?:is )?full",
        r"(?:prompt|\u5185\u5bb9|\u8f93\u5165|\u63d0\u793a\u8bcd).{0,6}(?:\u8d85|\u8fc7)\u957f"
        r"|\u4e0a\u4e0b\u6587.{0,12}(?:\u8d85\u51fa|\u8d85\u8fc7|\u8fc7\u957f)|\u8d85\u51fa.{0,12}\u4e0a\u4e0b\u6587",
        "maximum (?:conversation|chat|thread|session) length|context overflow"
        "|(?:conversation|prompt|input|message) too long|out of room in",
        r"context (?:length|window) is (?:only )?[\d,]",
        "(?:prompt|input|total|requested|message) tokens?.{0,20}exceed",
        "tokens.{0,40}exceeds? the max",
        r"(?:maximum|max) (?:prompt|context) length (?:is|of) [\d,]+",
        r"(?:input )?token count.{0,40}exceed\w{0,3} the (?:max|limit)",
        r"range of input length|(?:prompt|input).{0,20}exceed\w{0,3} max",
        r"larger than (?:the )?(?:model's )?n_ctx",
        r"exceed\w{0,3} the maximum (?:number of |allowed )?(?:input )?(?:tokens|length"
        "|input)",
        r"exceed\w{0,3} (?:the )?(?:model'?s? |model )?(?:maximum )?(?:token|input"
        "|context) limit",
        "(?:token|prompt|input|context|message"
        r"|request)[^\n]{0,100}exceeds? the (?:configured )?limit of [\d,]+",
        r"\Aexceeds the limit of \d+",
        "(?:payload size|request size|total size|request body|payload).{0,30}exceed",
        "exceeds? the maximum size|payload too large|request entity too large|content too large",
        "too large for model with|too many input tokens"
        r"|tokens \+ `?max_new_tokens`? must be",
        "maximum (?:allowed )?input length|input length.{0,60}exceed",
        r"\btokens?\b.{0,30}> [\d,]+ maximum|max input tokens"
        "|increase the physical batch size",
        r"string too long\. expected a string with maximum length \d{6,}",
        r"exceed\w{0,3} (?:its "
        "|the )?(?:maximum )?(?:allowed )?(?:number of )?tokens allowed",
        "(?:current length is|your (?:prompt|input|request) (?:has|contains"
        "|is)).{0,40}(?:while limit|but the (?:limit|max)|exceeding)",
        r"received message larger than max|must have less than [\d,]{1,12} tokens"
        r"|\bstatus_code\W{1,4}1039\b",
        unless=rf"{_THROTTLED}|max_tokens: \d|maximum allowed number of output tokens"
        r"|completion tokens\b(?!\)|.{0,200}context)|image|\bpdf\b|pixels|tool name|'user'",
        unless_statuses=(402,),
        example='HTTP 413: {"error":"Payload Too Large"}',
    ),
    says("overflow", "shorten_it",
        "the short words for it, when nothing says that the service throttles",
        "too many (?:prompt |total )?tokens|token limit exceeded",
        r"exceed\w{0,4} (?:the )?token limit",
        "(?:please )?(?:reduce|shorten|truncate|decrease) (?:the "
        "|your )?(?:length of the |length of your )?(?:messages?|prompt|input|context"
        "|conversation|history)",
        unless=rf"{_THROTTLED}|image",
        unless_statuses=(429,),
        example="Please reduce the length of the messages or completion.",
    ),
    says("overflow", "no_body",
        "some servers answer a context that is too long with no body at all",
        r"\A\s*4(?:00|13)\s{0,4}(?:status code)?\s{0,4}\(no body\)",
        example="400 status code (no body)",
    ),
)  # fmt: skip
