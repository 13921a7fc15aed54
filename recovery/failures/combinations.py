"""Rules that decide where nothing more certain did: ideas that occur together, common words.

``COMBINATIONS`` ask for ideas that occur together in whatever order, and ``FALLBACK`` for words
that many errors share.
"""

from __future__ import annotations

from typing import Final

from recovery.failures.kinds import Rule
from recovery.failures.rows import FAR, NEAR, says, together

_HOLDER: Final = (
    r"you|your|account|team|project|workspace|organi[sz]ation|this (?:month|week|key)|today"
    r"|tomorrow|monday|monthly|weekly|daily|plan\b|next reset|buy|renew|subscribe|upgrade"
)
_SERVICE: Final = (
    r"\b(?:the|this|our|its|your|that|selected|requested|chosen|upstream|remote|ai|llm|backend)"
    r"\s(?:(?:ai|llm|inference|upstream|remote|provider'?s?|selected|requested|current|language|api"
    r"|backend|network)\s){0,2}(?:servers?|services?|provider|models?|api|backend|systems?|upstream"
    r"|gateway|endpoint|connection|network|stream|response|answer|reply|engine|cluster|request)\b"
)
_FAILS: Final = (
    r"(?:down|unavailable|unreachable|offline|not respond\w{0,3}|not be reached|not answer\w{0,3}"
    r"|crash\w{0,3}|broke(?: off| down)?|broken|cut (?:off|short)|dropped|drop|lost|interrupted"
    r"|stopped (?:responding|answering|mid\w{0,8})|too long to (?:answer|respond|reply)"
    r"|took too long|hung(?: up)?|stalled|busy|congested|swamped|overwhelmed|out of capacity"
    r"|under (?:heavy|high|too much) load|maintenance|trouble|problems?|hiccup|outage|degraded"
    r"|restarting|died|ended early|went away|gone away|gave up|failed unexpectedly|went silent"
    r"|not available right now|not reachable|closed (?:early|before|on us))\b"
)

COMBINATIONS: Final[tuple[Rule, ...]] = (
    together("content_refused", "idea_content",
        "a text or an answer, what is bad about it, and that it was stopped",
        "content|prompt|request|message|output|generation|topic|text|image|answer"
        "|response|reply|category|that|this",
        r"harmful|unsafe|copyright|polic(?:y|ies)|moderation|safety|violence|sexual|hate\b"
        "|terms of|use terms|acceptable|sensitive|inappropriate|disallowed|prohibited"
        "|content rules|ethic",
        "refus|block|reject|stopped|not (?:be )?(?:process|allow|answer|shown)"
        r"|\w{1,7}n't allow|says no|judged|flagged|restricted|hidden|can't|cannot|declin"
        r"|filter|withheld|removed|breaks?\b|violat",
        unless="data policy|rate.?limit|quota|max_?tokens|retention|retry policy|privacy|billing"
        "|permission|password",
        example="The prompt was judged harmful and not processed.",
    ),
    together("rate_limited", "idea_too_fast",
        "requests, and that they come too fast",
        r"requests?\b|calls?\b|messages?|sending|quer(?:y|ies)|prompts?|frequen|tokens?\b",
        "too (?:fast|quick|frequent|often|many|rapid)|faster than|rapidly|short time"
        r"|minute\b|per second|a second|at a time|every \d|pace\b|last \d|slow|easy there"
        r"|short break|frequency|throttl|limited|wait \d|concurrent",
        "you|your|please|allowed|at most|max|only|this key|per |wait|take|coming in|quota|limit",
        unless="timed? ?out|took|longer than|no (?:reply|response|answer)|did(?: not|n't)"
        r"|responding|\bday|week|month|too (?:long|large)|credit|balance|tools|images"
        "|invalid|context",
        example="Wait 12 seconds before your next call.",
    ),
    together("overflow", "idea_too_long",
        "a conversation, and that it is more than the model can take",
        r"conversation|chat\b|history|prompt|messages?|input|context|request|thread"
        r"|document|text|transcript|tokens?\b|much for me",
        "too (?:long|large|big|much)|exceed|over the|past what|more than|larger|longer"
        r"|bigger|greater|above|beyond|not fit|\w{1,7}n't fit|cannot fit|full\b|room"
        r"|shorte|or fewer|at most|maximum (?:\w{1,12} )?length|ceiling|compact|trim",
        r"model|tokens?\b|window|context|keep in mind|at once|new (?:chat|conversation"
        "|session)|start over|content length|bytes|shorter prompt",
        unless=r"minute|per second|\brate\b|too many requests|throttl|quota|credit|afford|output"
        r"|maximum tokens (?:you|value)|completion tokens|max_\w{0,12}tokens|image|\bpdf\b"
        r"|attachment|timed? ?out"
        r"|\btook\b|name\b|parameter|schema|\btools?\b|function|temperature|thinking"
        r"|character|\bday|month|week|writes|generate|high demand|traffic|load\b|capacity",
        example="The prompt must be 8000 tokens or fewer; yours has 9120.",
    ),
    together("quota", "idea_used_up",
        "an allowance or money, that it is at its end, and whose it is",
        r"allowance|balance|credits?\b|money|funds|wallet|budget|trial|free (?:plan|tier)"
        r"|subscription|spend|cap\b|quota|premium|card\b|usage|tokens for this|billing"
        r"|payment|invoice|maximum|limit\b|plan\b",
        r"used|burned|spent|exhaust|gone\b|out of\b|r[au]n out|over\b|ended|expired|deplet"
        r"|empty|finish|reached|hit\b|zero|0\b|negative|\w{1,7}n't enough|not enough"
        "|lapsed|renew|not charge|paused|subscribe|settle|(?:none|nothing) left|overdue"
        "|declined",
        rf"{_HOLDER}",
        unless=r"\brate\b|minute|second\b|context|token limit|too (?:long|large)"
        r"|max_\w{0,12}tokens|parameter|schema|server|timed? ?out|timeout|concurren|length"
        "|capacity|characters|tools|images|input|limited to",
        example="Usage cap hit. Next reset: Monday 09:00 UTC.",
    ),
    together("auth", "idea_not_accepted",
        "a key, an account or an access, and that it is not accepted",
        r"api keys?|[\w_]*api_key|key\b|your token|the token|credentials?|log(?:ged)? ?in"
        r"|session|accounts?\b|sign\b|signed|signing|access\b|permission|rights|region"
        r"|country|administrat\w+|subscription|authenticat\w+|authori[sz]\w+|token\b",
        r"\w{1,7}n't recogni|not recogni|revoked|expired|timed out|invalid|missing|blocked"
        r"|suspended|locked|turned off|disabled|lacks?\b|only administrators|verify"
        "|rejected|denied|not set|refused|failed to authenticate|could not (?:validate"
        "|verify)|malformed|not accept|unknown|deleted|withdrawn|deactivated|signing in"
        "|sign in|not (?:currently )?supported",
        r"you|your|this|that|api|models?\b|please|sign\b|signed|signing|supplied|run\b"
        "|provider|contact|openai|oauth",
        unless=r"token limit|tokens\b|json|parse|tools?\b|server|stream|time-?out|websocket"
        "|parameter|too (?:long|large)|schema|try again later|unexpected|image|context"
        "|key error|primary key",
        example="That key belongs to a deleted project.",
    ),
    says("invalid_request", "wrong_in_a_sentence",
        "what was asked for cannot be, or was asked in the wrong way",
        r"\b(?:there is )?no (?:such )?model\b|\bmodel\b.{0,30}\b(?:cannot|can't|can not"
        "|does not|doesn't) (?:read|process|accept|handle|support|take|understand|see"
        r"|have|produce|exist)\b",
        r"\b(?:the|this|your) (?:request|payload|body|json|message list"
        r"|tool definition)\b.{0,30}\b(?:is missing|lacks|malformed|is not valid"
        r"|is invalid|is empty|contains an? (?:unknown|invalid|unsupported))\b",
        r"\b(?:output|reply|answer|completion)s?\b.{0,30}\b(?:larger|longer|more"
        r"|greater) than\b",
        r"\bwas provided without its\b|parse the json body|invalid_encrypted"
        r"|may only be set|\bmaximum of \d{1,4} .{1,60}may be provided|must be unique"
        r"|supported range is|block is missing an?\b|does not contain any\b|proto field"
        r"|\bduplicate (?:item|function|tool|parameter|name)"
        r"|\bat most \d{1,6} (?:\w{1,12} )?(?:allowed|supported|permitted)\b"
        r"|\bonly .{1,40} (?:is|are) supported\b|\bnumber of (?:tools|images|messages"
        r"|functions|stops?) .{0,20}\bexceeds\b|\bend of life\b|\bdiscontinued\b"
        r"|\b(?:first|last) message must\b|\binput should be\b|fields? not permitted"
        r"|\b(?:is|are) only supported (?:by|for|with|in)\b|\bdoes not support (?:this"
        r"|successive|the|any)\b|\b(?:parameters?|arguments?|values?|messages|fields?"
        "|options?) (?:is|are) (?:illegal|invalid|malformed|unsupported|not allowed"
        r"|not permitted)\b|requested entity was not found|at least one message"
        r"|\bonly supports? (?:one|single)|\bis not enabled for this model\b|cannot (?:get"
        r"|post) /v\d|cannot unmarshal .{1,80}request|has no matching\b|\A(?:messages"
        "|tools|input|contents?|system|tool_choice|thinking"
        r"|max_tokens)(?:[.\[]\w{1,20}\]?){0,8}: \S|must be (?:specified|set|provided"
        r"|present|given)\b|\b(?:tool choice|param) requires\b"
        "|is outside (?:of )?(?:the )?(?:allowed|valid|supported)"
        "|out of (?:the )?(?:allowed|valid|supported) range",
        r"\u53c2\u6570|\u6a21\u578b\u4e0d\u5b58\u5728|\u4e0d\u652f\u6301",
        common=True,
        unless="overload|timed? ?out|temporar|unavailable|try again (?:later|in|soon|shortly)"
        "|connection|capacity",
        example="This model cannot read images.",
    ),
    together("invalid_request", "idea_cannot_be",
        "a model, a tool or a parameter, and that it cannot be so",
        r"models?\b|parameter|temperature|top_p|tools?\b|functions?\b|json|schema"
        r"|images?\b|message list|messages?\b|endpoint|argument|field|attachment"
        r"|request body|payload|item\b|blocks?\b",
        r"\w{1,7}n't have (?:an?|the|any)\b|not (?:exist|supported|accept|allowed"
        "|be parsed|be empty|valid|contain)|no such|no longer (?:exist|offered|served)"
        "|retired|deprecated|unknown|same name|duplicate|must (?:lie|be|not|have|contain"
        r"|end|start|match)|missing|malformed|required|at most|invalid|\w{1,7}n't exist"
        r"|\w{1,7}n't support|\w{1,7}n't accept|removed from",
        r"this (?:model|endpoint|request|api)|your|you|requested|between|input\b"
        r"|previous message|characters|tools?\b|models? called|parameters?\b|unsupported"
        "|pattern|must be (?:set|specified|provided|present)",
        unless="overload|capacity|time-?out|timed out|temporar|unavailable|server|connection"
        r"|try again (?:later|in|soon|shortly)|quota|stream|response|key\b|chunk|retry",
        example="'tools' is not supported by this model",
    ),
    together("transient", "idea_way_broken",
        "the way to a model, what befell it, and that it was on the way",
        r"servers?\b|service|provider|models?\b|api\b|backend|upstream|gateway|host"
        r"|connection|network|stream|response|reply|inference|cluster|request|systems?\b"
        r"|side\b|end\b",
        r"\w{1,7}n't answer|not answer|no (?:reply|response|answer)|difficult|trouble"
        r"|down\b|restarted|hiccup|glitch|snag|stalled|cut\b|closed|lost|dropped|outage"
        "|swamped|overload|failing|never (?:arrived|came)|nothing|reachable"
        "|could not (?:reach|find|connect)|asleep|waking|stopped before|interrupted"
        r"|unexpectedly|empty|went wrong|hung\b|froze|in trouble|unstable|flaky",
        r"we\b|we're|our\b|please|try|retry|sorry|ai\b|llm|language model|provider"
        r"|the model|api\b|upstream|gateway|inference|tokens|mid-?stream|within \d|healthy"
        "|model host|reply|answer|our ",
        unless=r"api key|invalid|not supported|parameter|billing|permission|quota|test\b|tests\b"
        "|spec",
        example="No response from model within 120s",
    ),
    says("transient", "service_in_trouble",
        "the service, or the way to it, has a passing trouble",
        rf"{_SERVICE}\s{FAR}{_FAILS}",
        r"\b(?:lost|losing|broke|dropped|interrupted|problems?|trouble|issues?|outage"
        rf"|could not|couldn't|cannot|can't|unable to|failed to) {NEAR}{_SERVICE}",
        r"\bconnection to (?:the |our |your |its )?\w{1,20} (?:broke|was|is|has|dropped"
        "|lost|died)",
        r"\btrying again (?:usually|often|might|may|should|will)? ?(?:helps?|works?)"
        r"|\bplease (?:re)?try(?: again)?\s?(?:[.!;,(]|$)|\bback (?:online )?(?:shortly"
        r"|soon)\b",
        r"\binternet connection (?:\w{1,12} ){0,4}(?:offline|lost|down)|\byou (?:are"
        r"|appear to be) offline\b|\bnet::err_|\bnghttp2_|\bchannel error\b"
        r"|\bat capacity\b|\bout of capacity\b|\btrouble responding\b"
        r"|\b(?:engine(?: ?core)?|(?:inference|gpu) \w{1,12}|replica|gpu)\b.{0,20}\b"
        r"(?:encountered|died|is dead|crashed|lost|exited before)\b",
        r"\b(?:response|answer|reply|stream) (?:stalled|froze|hung)"
        r"|\bmodel (?:was )?unloaded\b|\bmodel (?:is )?unavailable\b|\bunavailable: \w"
        r"|\bdeadline_exceeded\b|received empty|no slots? available|failed to respond"
        "|did not receive|parse error: expected http|request canceled while waiting",
        r"\b(?:response|answer|reply|completion)\b.{0,20}\b(?:contained|had|has|with"
        r"|contains) (?:no|zero) (?:choices|content|candidates|output|text|messages)\b",
        r"\A\s{0,8}error code: (?:10(?:00|01|02|04|14|16|18|23|33)|1101|1102"
        r"|1200)\s{0,8}\Z",
        r"\u7e41\u5fd9|\u7a0d\u540e(?:\u518d|\u91cd)|\u7f51\u7edc|\u8d85\u65f6"
        r"|\u670d\u52a1\u4e0d\u53ef\u7528|\u5185\u90e8\u9519\u8bef"
        r"|\u7cfb\u7edf(?:\u9519\u8bef|\u5f02\u5e38)",
        common=True,
        example="NGHTTP2_ENHANCE_YOUR_CALM",
    ),
)  # fmt: skip

FALLBACK: Final[tuple[Rule, ...]] = (
    says("rate_limited", "any_rate_limit",
        "any mention of a rate limit",
        "rate.?limit|resource.?exhausted",
        also=r"\A\W{0,8}(?:\w{1,40}\W{1,4}){0,5}\w{0,40}\W{0,8}\Z|exceed|reach|\bhit"
        r"|error|limited|retry|wait|again|request|token|too many|\bapi\b|provider|model"
        "|429|exhausted",
        common=True,
        unless="invalid (?:value|parameter)",
        example="QPM limit reached: the model is rate limited to 60 QPM",
    ),
    says("transient", "service_words",
        "the service is overloaded, down or failing",
        "overloaded|over capacity|at capacity|high (?:demand|load|traffic)|server (?:is )?busy",
        "too busy|service.?(?:is )?(?:currently |temporarily )?unavailable",
        "temporarily unavailable|(?:currently|momentarily) unavailable",
        "provider.?returned.?error|server.?error|internal.?error|internal server|bad.?gateway",
        "upstream|no healthy|server had an error",
        "error (?:occurred )?(?:during|while|in) (?:the )?(?:stream|generat|infer|respon|process)",
        "retry your request|is (?:currently |still )?loading|loading model|not ready|warming up",
        "(?:an )?unexpected error|something went wrong",
        "encountered an (?:unexpected |internal )?error|unable to process your request",
        "invalid response from|model (?:has )?crashed|no available (?:provider|model|capacity)",
        "no capacity|having trouble|experiencing|server is down|health check",
        r"reset before headers|temporary (?:\w{1,12} )?(?:error|failure|issue|problem)",
        "web server is|maintenance|(?:please )?try again (?:later|shortly|in a (?:few|moment))",
        common=True,
        example="Upstream idle timeout exceeded",
    ),
    says("transient", "connection_words",
        "the connection or the stream broke, or nothing came in time",
        "(?:network|connection|connect|socket|transport|protocol|stream(?:ing)?|websocket"
        "|sse|http/?2?|tls|ssl|proxy|dns"
        r"|chunk(?:ed)?)[ _.-]{0,2}(?:\w{1,12}[ _-]){0,2}(?:error|failure|failed|lost"
        "|reset|refused|closed|aborted|broken?|dropped|interrupted|terminated"
        r"|disconnect\w{0,3}|ended|timed?.?out|cut|unreachable|unexpected|exception|hang"
        "|handshake|eof)",
        "(?:failed|unable|could not|couldn't|cannot|can't|error) (?:to )?(?:establish"
        "|connect|reach|resolve|fetch|read|receiv|send|open|sending|reading|decod"
        "|pars(?:e|ing) (?:stream|chunk|sse|event))",
        "other side closed|(?:lost|no) connection|transport is closing|forcibly closed",
        r"closed (?:\w{1,12} )?connection|handshake fail|fetch failed|load failed",
        r"socket hang ?up|hang ?up|terminated\b|ended without",
        r"(?:stream|response) (?:\w{1,12} )?(?:ended|closed|stopped|was (?:cut|closed)"
        "|disconnected)",
        "http2 request did not get|rst_stream|goaway|premature(?:ly)? (?:close|end)",
        r"closed prematurely|deadline (?:exceeded|expired)|client\.timeout",
        "i/o timeout|eagain|retry delay",
        r"\be(?:connreset|connrefused|connaborted|timedout|pipe|hostunreach|netunreach"
        r"|netdown|ai_again|notfound|sockettimedout)\b",
        "getaddrinfo|name or service not known|name resolution|no such host",
        "nodename nor servname|no address associated|resolve host|no route to host|broken pipe",
        "(?:network|host) (?:is )?(?:unreachable|down)|software caused connection abort",
        "connection (?:attempts failed|aborted|was)|peer closed|remote end closed",
        "server disconnected|without (?:sending|response|a response)",
        "incomplete (?:chunked )?(?:read|message|stream|response)|incompleteread|unexpected eof",
        r"\beof (?:occurred|while|when|in)|\beof$|unexpected_eof|ssl_error|disconnected",
        r"connection (?:\w{1,12} )?(?:closed|reset|lost)|max retries exceeded"
        "|reset by peer",
        "connection pool|empty (?:response|reply|stream)|no response|invalid http response",
        r"received (?:no|an empty|partial|incomplete)|\[errno (?:32|101|103|104|110|111"
        r"|113)\]",
        r"websocket|curl: \((?:5|6|7|18|28|35|52|55|56|92)\)|econn|failed to (?:fetch"
        "|connect)",
        common=True,
        example="Response ended prematurely",
    ),
    says("transient", "time_words",
        "nothing came in time",
        "timed?.?out|timeout",
        also=r"\A\W{0,8}(?:[^\s]{1,60}\s{1,4}){0,2}[^\s]{0,60}[ \t]{0,8}\Z|request"
        "|respon|connect|read|write|wait|server|gateway|upstream|socket|stream|network"
        "|http|fetch|api|model|provider|operation|host|proxy|llm|client|curl|idle|chunk"
        r"|signal|poll|call|generat|infer|error|exceeded|after \d|\d ?m?s\b|\d sec|try"
        "|retry",
        unless=r"\btask\b|\bquestion\b|\bexit \d|\blogin timeout",
        common=True,
        example="The operation was timeout.",
    ),
    says("transient", "garbled",
        "the answer arrived cut off or garbled",
        "unexpected end of (?:json|input|data|stream|file)",
        "unterminated string (?:in json|starting at)",
        "unexpected token .{0,200}(?:json|position|at line)",
        "unexpected (?:non-whitespace|character)|looking for beginning of value",
        "(?:eof|error) while parsing|expecting (?:value|',' delimiter|property name)",
        "expected .{1,40} in json at|in json at position|bad (?:control|escaped) character",
        r"json(?: parse|\.parse)? ?error|is not valid json",
        r"(?:truncated|partial|incomplete|malformed|corrupt\w{0,3}|invalid"
        "|garbled) .{0,30}(?:json|chunk|stream|event|response|sse|data|frame)",
        r"(?:json|chunk|sse|stream|event|response)\b.{0,40}(?:truncated|incomplete"
        "|malformed|corrupt|cut off)",
        "error decoding (?:response|stream)|missing (?:message_stop|finish_reason|final|done)",
        "failed to (?:decode|deserialize|parse).{0,40}(?:json|chunk|stream|event|response|sse)",
        common=True,
        example="SyntaxError: Unexpected end of JSON input",
    ),
    says("invalid_request", "any_wrong_request",
        "any mention of a request that is wrong",
        "invalid.?request|bad.?request|unprocessable|not supported|unsupported",
        common=True,
        example='Failed to parse messages: Unsupported content part type: "image_url"',
    ),
    says("transient", "try_again",
        "whatever it is, the service says to try again",
        "(?:please )?(?:try|retry)(?:ing)?(?: your request| again"
        r"| this)? (?:again )?(?:in|after|later|soon|shortly)\b",
        "retry[_-]after",
        common=True,
        example="The endpoint is scaled to zero and is waking; retry in a moment",
    ),
)  # fmt: skip
