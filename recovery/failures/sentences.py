"""Rules of last resort for sentences: which ideas occur together, in whatever order and words.

A service phrases a failure as it likes, so no list of messages is complete. These rules ask for
ideas that must all occur near the beginning (something to be used up, that it is used up, whose it
is), and for none that would make it another matter. They come after statuses and codes: they
decide only where nothing more certain did.
"""

from __future__ import annotations

from typing import Final

from recovery.failures.kinds import Kind
from recovery.failures.rules import Rule, says

_REACH: Final = 400
"""Characters in which all ideas of a sentence must begin."""


def _together(kind: Kind, why: str, *ideas: str, unless: str) -> Rule:
    """Return a rule that holds where every one of ``ideas`` occurs and ``unless`` does not."""
    begins = "".join(rf"(?=.{{0,{_REACH}}}?\b(?:{idea}))" for idea in ideas)
    return says(kind, why, rf"(?s)\A{begins}", needs=" ", common=True, unless=unless)


_HOLDER: Final = (
    r"you|your|account|team|project|workspace|organi[sz]ation|this (?:month|week|key)|today"
    r"|tomorrow|monday|monthly|weekly|daily|plan\b|next reset|buy|renew|subscribe|upgrade"
)

# At most so many words in between: a sentence, not a page.
_NEAR: Final = r"(?:[^\s]{1,40}\s){0,6}?"
_FAR: Final = r"(?:[^\s]{1,40}\s){0,12}?"

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

SENTENCES: Final[tuple[Rule, ...]] = (
    _together(
        "content_refused",
        "a text or an answer, what is bad about it, and that it was stopped",
        r"content|prompt|request|message|output|generation|topic|text|image|answer|response|reply"
        r"|category|that|this",
        r"harmful|unsafe|copyright|polic(?:y|ies)|moderation|safety|violence|sexual|hate\b|terms of"
        r"|use terms|acceptable|sensitive|inappropriate|disallowed|prohibited|content rules|ethic",
        r"refus|block|reject|stopped|not (?:be )?(?:process|allow|answer|shown)|\w{1,7}n't allow"
        r"|says no"
        r"|judged|flagged|restricted|hidden|can't|cannot|declin|filter|withheld|removed|breaks?\b"
        r"|violat",
        unless=r"data policy|rate.?limit|quota|max_?tokens|retention|retry policy|privacy|billing"
        r"|permission|password",
    ),
    _together(
        "rate_limited",
        "requests, and that they come too fast",
        r"requests?\b|calls?\b|messages?|sending|quer(?:y|ies)|prompts?|frequen|tokens?\b",
        r"too (?:fast|quick|frequent|often|many|rapid)|faster than|rapidly|short time|minute\b"
        r"|per second|a second|at a time|every \d|pace\b|last \d|slow|easy there|short break"
        r"|frequency|throttl|limited"
        r"|wait \d|concurrent",
        r"you|your|please|allowed|at most|max|only|this key|per |wait|take|coming in|quota|limit",
        unless=r"timed? ?out|took|longer than|no (?:reply|response|answer)|did(?: not|n't)"
        r"|responding"
        r"|\bday|week|month|too (?:long|large)|credit|balance|tools|images|invalid|context",
    ),
    _together(
        "overflow",
        "a conversation, and that it is more than the model can take",
        r"conversation|chat\b|history|prompt|messages?|input|context|request|thread|document|text"
        r"|transcript|tokens?\b|much for me",
        r"too (?:long|large|big|much)|exceed|over the|past what|more than|larger|longer|bigger"
        r"|greater|above|beyond|not fit|\w{1,7}n't fit|cannot fit|full\b|room|shorte|or fewer|at"
        r" most"
        r"|maximum (?:\w{1,12} )?length|ceiling|compact|trim",
        r"model|tokens?\b|window|context|keep in mind|at once|new (?:chat|conversation|session)"
        r"|start over|content length|bytes|shorter prompt",
        unless=r"minute|per second|\brate\b|too many requests|throttl|quota|credit|afford|output"
        r"|completion tokens|max_\w{0,12}tokens|image|\bpdf\b|attachment|timed? ?out|\btook\b"
        r"|name\b"
        r"|parameter|schema|\btools?\b|function|temperature|thinking|character|\bday|month|week"
        r"|writes|generate|high demand|traffic|load\b|capacity",
    ),
    _together(
        "quota",
        "an allowance or money, that it is at its end, and whose it is",
        r"allowance|balance|credits?\b|money|funds|wallet|budget|trial|free (?:plan|tier)"
        r"|subscription|spend|cap\b|quota|premium|card\b|usage|tokens for this|billing|payment"
        r"|invoice|maximum"
        r"|limit\b|plan\b",
        r"used|burned|spent|exhaust|gone\b|out of\b|r[au]n out|over\b|ended|expired|deplet|empty"
        r"|finish"
        r"|reached|hit\b|zero|0\b|negative|\w{1,7}n't enough|not enough|lapsed|renew|not charge"
        r"|paused|subscribe|settle|(?:none|nothing) left|overdue|declined",
        _HOLDER,
        unless=r"\brate\b|minute|second\b|context|token limit|too (?:long|large)|max_\w{0,12}tokens"
        r"|parameter|schema|server|timed? ?out|timeout|concurren|length|capacity|characters|tools"
        r"|images|input|limited to",
    ),
    _together(
        "auth",
        "a key, an account or an access, and that it is not accepted",
        r"api keys?|[\w_]*api_key|key\b|your token|the token|credentials?|log(?:ged)? ?in|session"
        r"|accounts?\b|sign\b|signed|signing|access\b|permission|rights|region|country"
        r"|administrat\w+|subscription"
        r"|authenticat\w+|authori[sz]\w+|token\b",
        r"\w{1,7}n't recogni|not recogni|revoked|expired|timed out|invalid|missing|blocked"
        r"|suspended"
        r"|locked|turned off|disabled|lacks?\b|only administrators|verify|rejected|denied|not set"
        r"|refused|failed to authenticate|could not (?:validate|verify)|malformed|not accept"
        r"|unknown|deleted|withdrawn|deactivated|signing in|sign in|not (?:currently )?supported",
        r"you|your|this|that|api|models?\b|please|sign\b|signed|signing|supplied|run\b|provider"
        r"|contact|openai|oauth",
        unless=r"token limit|tokens\b|json|parse|tools?\b|server|stream|time-?out|websocket"
        r"|parameter"
        r"|too (?:long|large)|schema|try again later|unexpected|image|context|key error|primary"
        r" key",
    ),
    says(
        "invalid_request",
        "what was asked for cannot be, or was asked in the wrong way",
        r"\b(?:there is )?no (?:such )?model\b|\bmodel\b.{0,30}\b(?:cannot|can't|can not|does not"
        r"|doesn't) (?:read|process|accept|handle|support|take|understand|see|have|produce"
        r"|exist)\b",
        r"\b(?:the|this|your) (?:request|payload|body|json|message list|tool definition)\b.{0,30}\b"
        r"(?:is missing|lacks|malformed|is not valid|is invalid|is empty|contains an? (?:unknown"
        r"|invalid|unsupported))\b",
        r"\b(?:output|reply|answer|completion)s?\b.{0,30}\b(?:larger|longer|more|greater) than\b",
        r"\bwas provided without its\b|parse the json body|invalid_encrypted|may only be set"
        r"|\bmaximum of \d{1,4} .{1,60}may be provided|must be unique|supported range is"
        r"|block is missing an?\b|does not contain any\b|proto field|\bduplicate (?:item|function"
        r"|tool|parameter|name)"
        r"|\bat most \d{1,6} (?:\w{1,12} )?(?:allowed|supported|permitted)\b|\bonly .{1,40} (?:is"
        r"|are) supported\b|\bnumber of (?:tools|images|messages|functions|stops?)"
        r" .{0,20}\bexceeds\b|\bend of life\b|\bdiscontinued\b|\b(?:first|last) message must\b"
        r"|\binput should be\b"
        r"|fields? not permitted"
        r"|\b(?:is|are) only supported (?:by|for|with|in)\b|\bdoes not support (?:this|successive"
        r"|the|any)\b"
        r"|\b(?:parameters?|arguments?|values?|messages|fields?|options?) (?:is|are) (?:illegal"
        r"|invalid|malformed|unsupported"
        r"|not allowed|not permitted)\b|requested entity was not found|at least one message|\bonly"
        r" supports? (?:one|single)"
        r"|\bis not enabled for this model\b|cannot (?:get|post) /v\d|cannot unmarshal"
        r" .{1,80}request|has no matching\b"
        r"|\A(?:messages|tools|input|contents?|system|tool_choice|thinking|max_tokens)"
        r"(?:[.\[]\w{1,20}\]?){0,8}: \S"
        r"|must be (?:specified|set|provided|present|given)\b|\b(?:tool choice|param) requires\b|is"
        r" outside (?:of )?(?:the )?(?:allowed|valid|supported)"
        r"|out of (?:the )?(?:allowed|valid|supported) range",
        r"\u53c2\u6570|\u6a21\u578b\u4e0d\u5b58\u5728|\u4e0d\u652f\u6301",
        needs="number of|model|request|payload|body|json|message list|definition|output|reply"
        "|answer"
        "|completion"
        "|provided without|invalid_encrypted|may |contain|proto|duplicate|must|end of|discontinued"
        "|message|should|permitted|only|support|illegal|invalid|malformed|not |entity|first|at"
        " least|enabled|cannot|matching|: |unique|range|missing|require|outside"
        "|\u53c2\u6570|\u6a21\u578b|\u4e0d\u652f\u6301",
        common=True,
        unless=r"overload|timed? ?out|temporar|unavailable|try again (?:later|in|soon|shortly)"
        r"|connection|capacity",
    ),
    _together(
        "invalid_request",
        "a model, a tool or a parameter, and that it cannot be so",
        r"models?\b|parameter|temperature|top_p|tools?\b|functions?\b|json|schema|images?\b|message"
        r" list|messages?\b|endpoint|argument|field|attachment|request body|payload|item\b"
        r"|blocks?\b",
        r"\w{1,7}n't have (?:an?|the|any)\b|not (?:exist|supported|accept|allowed|be parsed|be"
        r" empty|valid|contain)|no such"
        r"|no longer (?:exist|offered|served)|retired|deprecated|unknown|same name|duplicate"
        r"|must (?:lie|be|not|have|contain|end|start|match)|missing|malformed|required|at most"
        r"|invalid|\w{1,7}n't exist|\w{1,7}n't support|\w{1,7}n't accept|removed from",
        r"this (?:model|endpoint|request|api)|your|you|requested|between|input\b|previous message"
        r"|characters|tools?\b|models? called|parameters?\b|unsupported|pattern|must be (?:set"
        r"|specified"
        r"|provided|present)",
        unless=r"overload|capacity|time-?out|timed out|temporar|unavailable|server|connection"
        r"|try again (?:later|in|soon|shortly)|quota|stream|response|key\b|chunk|retry",
    ),
    _together(
        "transient",
        "the way to a model, what befell it, and that it was on the way",
        r"servers?\b|service|provider|models?\b|api\b|backend|upstream|gateway|host|connection"
        r"|network|stream|response|reply|inference|cluster|request|systems?\b|side\b|end\b",
        r"\w{1,7}n't answer|not answer|no (?:reply|response|answer)|difficult|trouble|down\b"
        r"|restarted"
        r"|hiccup|glitch|snag|stalled|cut\b|closed|lost|dropped|outage|swamped|overload"
        r"|failing|never (?:arrived|came)|nothing|reachable|could not (?:reach|find|connect)|asleep"
        r"|waking|stopped before|interrupted"
        r"|unexpectedly|empty|went wrong|hung\b|froze|in trouble|unstable|flaky",
        r"we\b|we're|our\b|please|try|retry|sorry|ai\b|llm|language model|provider|the model|api\b"
        r"|upstream|gateway|inference|tokens|mid-?stream|within \d|healthy|model host|reply|answer"
        r"|our ",
        unless=r"api key|invalid|not supported|parameter|billing|permission|quota|test\b|tests\b"
        r"|spec",
    ),
    says(
        "transient",
        "the service, or the way to it, has a passing trouble",
        rf"{_SERVICE}\s{_FAR}{_FAILS}",
        rf"\b(?:lost|losing|broke|dropped|interrupted|problems?|trouble|issues?|outage|could not"
        rf"|couldn't|cannot|can't|unable to|failed to) {_NEAR}{_SERVICE}",
        r"\bconnection to (?:the |our |your |its )?\w{1,20} (?:broke|was|is|has|dropped|lost|died)",
        r"\btrying again (?:usually|often|might|may|should|will)? ?(?:helps?|works?)|\bplease"
        r" (?:re)?try(?: again)?\s?(?:[.!;,(]|$)|\bback (?:online )?(?:shortly|soon)\b",
        r"\binternet connection (?:\w{1,12} ){0,4}(?:offline|lost|down)|\byou (?:are|appear to be)"
        r" offline\b|\bnet::err_|\bnghttp2_|\bchannel error\b|\bat capacity\b|\bout of capacity\b",
        r"\b(?:response|answer|reply|stream) (?:stalled|froze|hung)|\bmodel (?:was )?unloaded\b"
        r"|\bmodel (?:is )?unavailable\b|\bunavailable: \w|\bdeadline_exceeded\b"
        r"|received empty|no slots?"
        r" available|failed to respond|did not receive|parse error:"
        r" expected http|request canceled while waiting",
        r"\b(?:response|answer|reply|completion)\b.{0,20}\b(?:contained|had|has|with|contains) "
        r"(?:no"
        r"|zero) (?:choices|content|candidates|output|text|messages)\b",
        r"\A\s{0,8}error code: (?:10(?:00|01|02|04|14|16|18|23|33)|1101|1102|1200)\s{0,8}\Z",
        r"\u7e41\u5fd9|\u7a0d\u540e(?:\u518d|\u91cd)|\u7f51\u7edc|\u8d85\u65f6"
        r"|\u670d\u52a1\u4e0d\u53ef\u7528|\u5185\u90e8\u9519\u8bef|\u7cfb\u7edf(?:\u9519\u8bef"
        r"|\u5f02\u5e38)",
        needs="unavailable|deadline|server|service|provider|model|api|backend|system|upstream"
        "|gateway|endpoint"
        "|connection"
        "|network|stream|response|answer|reply|engine|cluster|request|trying again|try|back "
        "|offline|net::err|nghttp2|channel|capacity|error code|receive|slot|respond|parse error"
        "|\u7e41\u5fd9|\u7a0d\u540e|\u7f51\u7edc|\u8d85\u65f6|\u670d\u52a1|\u5185\u90e8"
        "|\u7cfb\u7edf",
        common=True,
    ),
)
