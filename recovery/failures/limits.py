"""Rules for limits: throttling, which passes by itself, and allowances that are used up."""

from __future__ import annotations

from typing import Final

from recovery.failures.rules import Rule, coded, says

MINUTE: Final = (
    r"per[ _-]?(?:minute|min|second|sec)\b|per(?:minute|second)|_per_(?:minute|second)"
    r"|(?:this|each|every|last) (?:minute|second)\b|/ ?(?:min|minute|sec|second)\b|\b(?:tpm|rpm|rps"
    r"|qps)\b"
)
LONGER: Final = (
    r"per[ _-]?(?:day|week|month)\b|per(?:day|week|month)|_per_day|/ ?(?:day|month)\b"
    r"|\b(?:tpd|rpd)\b|\b(?:daily|weekly|monthly)\b"
)
HINT: Final = (
    r"(?:try again|retry)[ a-z]{0,16}(?: in| after) (?!\d{1,9}(?:\.\d{1,9})? ?(?:h|d|w))\d"
    r"|retry[_-]?delay\W{1,8}(?:seconds\W{1,6})?(?!\d{4})\d|retry[_-]after\W{1,6}(?!\d{4})\d"
    r"|resets? (?:in|after) (?:\d{1,2}m)?\d{1,2}(?:\.\d{1,9})?s\b"
)
SPENT: Final = (
    r"insufficient[_ ]quota|credit balance|\blimit: 0\b|out of credits|billing (?:hard|is)"
    r"|not active|purchase more|add credits"
)
LIMITS: Final[tuple[Rule, ...]] = (
    says(
        "overflow",
        "one request is larger than the whole allowance: waiting never helps, a smaller one does",
        r"request too large for ",
        needs="request too large",
        exceeds=r"limit:? (?P<most>[0-9][0-9,]{0,17}), (?:used:? [0-9,]{1,18}, )?"
        r"requested:? (?P<asked>[0-9][0-9,]{0,17})",
    ),
    says(
        "overflow",
        "a request is too large, and nothing is said of an allowance that time brings back",
        r"request too large for .{0,400}(?:must be reduced|reduce your message|please reduce)",
        needs="request too large",
        unless=rf"{MINUTE}|{LONGER}",
    ),
    says(
        "rate_limited",
        "a limit per minute or per second passes by itself, even where it is called a quota",
        rf"(?:quota|limit|exceed|exhaust|too many|throttl)(?s:.){{0,400}}?(?:{MINUTE})",
        rf"(?:{MINUTE})(?s:.){{0,400}}?(?:quota|limit|exceed|exhaust|too many|throttl)",
        r"online_prediction_\w{1,40}_per_base_model",
        needs="min|sec|tpm|rpm|rps|qps|per_base_model",
        unless=rf"{LONGER}|{SPENT}",
    ),
    says(
        "quota",
        "a limit per day, week or month; no wait of minutes helps",
        r"per(?:day|week|month)(?:per|-|\b|[\"'])|_per_day",
        needs="perday|perweek|permonth|per_day",
    ),
    says(
        "rate_limited",
        "the provider itself says to retry in so many seconds",
        r"quota",
        needs="quota",
        also=HINT,
        unless=rf"{LONGER}|{SPENT}|replenish|[45] ?-?h(?:ou)?r limit",
    ),
    says(
        "rate_limited",
        "too many requests at the same time",
        r"concurren\w{0,8}.{0,40}(?:limit|exceed|reduce|too many|quota)",
        r"(?:limit|exceed|too many|high).{0,40}concurren",
        needs="concurren",
    ),
    says(
        "quota",
        "a limit per day, week or month that names no short wait",
        r"(?:" + LONGER + r").{0,100}(?:limit|quota|exceed|reached|credits|allow|exhaust|spend)",
        r"(?:limit|quota|exceed|reached|credits|allow|exhaust|used|too many|limited to|may only"
        r" use)"
        r".{0,100}(?:" + LONGER + ")",
        needs="day|dai|week|month|tpd|rpd",
        unless=r"rate.?limit reached for .{0,300}(?:" + HINT + ")",
    ),
    coded(
        "quota",
        "the provider's own word for money or an allowance that is used up",
        """
        insufficient_quota quota_exceeded QuotaExceeded exceeded_current_quota_error
        exceeded_quota InsufficientQuota billing_hard_limit_reached billing_not_active
        billing_error BILLING_DISABLED credit_balance_too_low insufficient_credits
        insufficient_balance insufficient_funds not_enough_credits out_of_credits
        payment_required PaymentRequired budget_exceeded BudgetExceededError CreditLimitExceeded
        credit_limit_exceeded spend_limit_reached spending_limit_exceeded usage_limit_reached
        usage_limit_exceeded usage_limit UsageLimitExceeded UsageLimitError GoUsageLimitError
        FreeUsageLimitError usage_not_included CreditsError ServiceQuotaExceededException
        user_weekly_rate_limited user_monthly_rate_limited user_global_rate_limited_weekly
        MONTHLY_REQUEST_COUNT subscription_sharing_usage_limit_exceeded free_tier_limit
        daily_limit_exceeded monthly_limit_exceeded out_of_quota quota_exhausted
        quota_limit_exceeded insufficient_user_quota arrearage account_deactivated_billing
        """,
    ),
    says(
        "quota",
        "money: a balance, credits, a budget, a spending limit or an unpaid bill",
        r"(?:insufficient|not enough|low|negative|exceed\w{0,4}|used all|run out of|out of|used "
        r"up)[_ ](?:\w{1,20}[_ ]){0,3}(?:balance|credits?|funds)\b",
        r"(?:balance|credits?|funds)\b.{0,40}(?:too low|insufficient|depleted|exhausted|used up"
        r"|run out|is negative|exceeded|expired)",
        r"\bout of (?:budget|credits|extra usage)|budget (?:has been )?exceeded",
        r"exceed\w{0,4} budget|exceeded.{0,60}\bbudget\b|over budget",
        r"(?:spend|spending|credit|cost|billing)[_ ](?:hard[_ ])?limit|payment (?:is )?required",
        r"payment method|unpaid|past invoices",
        r"(?:account|payment|balance|bill)\b.{0,30}(?:past due|overdue|arrears)",
        r"\bbilling (?:account|details?|information|hard|is not|issue|error|problem|failed"
        r"|status|disabled|inactive|not|to be enabled|on our)",
        r"(?:check|enable|update|activate|set up) (?:your |the )?(?:plan and )?billing\b",
        r"requires? billing|purchase (?:more |additional )?credits",
        r"\b(?:add|buy) (?:more )?(?:credits|funds)\b|\btop.?up\b|\brecharge\b|available balance",
        r"\u4f59\u989d\u4e0d\u8db3|no (?:more )?credits (?:left|remain|available)",
        r"key limit exceeded|extra usage is required|\bout of (?:call volume )?quota\b",
        r"need a (?:\w{1,20} )?subscription|upgrade your (?:plan|subscription) to continue",
        needs="balance|credit|funds|budget|limit|billing|payment|unpaid|invoice|overdue|past due"
        "|arrears|recharge|top|usage|quota|subscription|upgrade|\u4f59\u989d",
        unless="rate.?limit reached for|temporarily rate.?limited|rate limit is exceeded|exceeded "
        "(?:token|call) rate limit",
    ),
    says(
        "quota",
        "an allowance that is used up",
        r"insufficient[_ ](?:\w{1,20}[_ ])?quota",
        r"(?:current|your|the|account|free|usage) quota\b.{0,40}(?:exceed|exhaust|reach|used"
        r"|plan)",
        r"exceed\w{0,4} (?:(?:your|the|its|their|current|free|monthly|account|usage) "
        r"){0,3}(?:\w{1,20} )?quota",
        r"quota (?:has been |is |was |limit )?(?:exceeded|exhausted|reached|used)|quota_exceeded",
        r"exceed\w{0,4} (?:the )?service quota|usage[_ ]limits?\b|usagelimit",
        r"(?:hit|reached|exceeded|used|over) your (?:(?!rate\b)[\w'-]{1,20} ){0,4}(?:limits?"
        r"|allowance)\b",
        r"\b\d{1,3}[ -]?(?:hours?|hr?) (?:usage )?limit|\bsession limit|\bplan limit",
        r"free tier limit|limit reached\W{1,4}\d{10}",
        r"limit of your (?:current )?(?:plan|subscription)|(?:request|token) allowance",
        r"used (?:up )?all (?:of )?(?:your|the) (?:\w{1,20} ){0,3}(?:tokens|requests|messages)",
        r"out of (?:premium|free) requests|free allocation|free tier .{0,30}\bexhausted",
        r"(?:limit|quota) (?:will )?(?:be )?resets? (?:at|on|in|after)|regain access",
        r"exhausted your (?:\w{1,20} ){0,2}(?:quota|capacity|limit|credits)",
        needs="quota|limit|allow|request|access|used|exhaust",
        unless="context|rate limit(?! per day)|concurren|requests? per|tokens? per|prompt is"
        "|rate_limit_exceeded|input (?:token|length)|max(?:imum)? tokens|limit_requests"
        "|current request limit|not your usage limit",
    ),
    coded(
        "rate_limited",
        "the provider's own word for too many requests",
        """
        rate_limit_error RateLimitError rate_limit_exceeded rate_limited rate_limits
        rate_limit_reached_error RateLimitReached rate_limit_exceeded_error too_many_requests
        TooManyRequestsError TooManyRequestsException TooManyRequests ThrottlingException
        Throttling ThrottledException RequestThrottled throttled RequestThrottledException
        RequestLimitExceeded ThrottledRequest SlowDown ProvisionedThroughputExceededException
        ModelThrottledException RESOURCE_EXHAUSTED ResourceExhausted tokens_limit_exceeded
        user_rate_limited request_quota_exceeded token_quota_exceeded queue_exceeded
        capacity_exceeded service_tier_capacity_exceeded ServiceTierCapacityExceeded
        user_model_rate_limited engine_rate_limited concurrency_limit_exceeded TransactionLimit
        upstream_rate_limited Throttling.RateQuota Throttling.AllocationQuota RateLimitExceeded
        TooManyTokens too_many_tokens_error limit_requests limit_burst_rate
        """,
    ),
    says(
        "rate_limited",
        "the request was throttled",
        r"rate.?limit (?:has been |was |is |have been )?(?:reached|exceeded|hit|error|surpassed)",
        r"(?:reach|exceed|hit|surpass)\w{0,3} (?:\S{1,40} ){0,6}rate.?limits?\b",
        r"rate.?limited?\b.{0,30}exceed|rate.?limit.{0,60}(?:try again|retry|slow down|wait)",
        r"(?:being|temporarily|been|was|were|are) rate.?limited|too many requests",
        r"throttl(?:ed|ing)|request rate (?:too|increased)|rate exceeded",
        r"reached (?:organization|user|project) max (?:rpm|tpm|tpd|concurrency)|slow down",
        r"error code:? 1015\b|capacity exceeded|usage increase rate",
        r"too many tokens.{0,20}(?:wait|rate|for team)|resource (?:has been )?exhausted",
        r"resource_exhausted|some resource has been exhausted|limited to \d+ api calls",
        r"exceeded your (?:\w{1,20} )?token usage",
        needs="limit|too many|throttl|rate|reached|slow|capacity|exhausted|1015|token usage",
        unless="invalid (?:value|parameter|argument)|unsupported",
    ),
)
