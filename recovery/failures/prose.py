"""Rules for what services, gateways and people say in particular, in words of their own.

No two services phrase a failure alike, but all speak of the same few things. So these rules join
a subject (the conversation, the allowance, the key …) with what is said of it, close by, instead
of listing messages. They come before the HTTP status, like all that is said in particular.
"""

from __future__ import annotations

from typing import Final

from recovery.failures.rules import Rule, says

# At most so many words in between: a sentence, not a page.
_NEAR: Final = r"(?:[^\s]{1,40}\s){0,6}?"
_FAR: Final = r"(?:[^\s]{1,40}\s){0,12}?"

_TALK: Final = (
    r"(?:conversation|chat(?: history)?|history|prompts?|messages?|inputs?|context|requests?|texts?"
    r"|transcript|thread|session|document|content|tokens?)\b"
)
_WINDOW: Final = (
    r"(?:context[ _-](?:window|length|size|limit|budget)|token[ _-](?:limit|budget|window|cap)"
    r"|maximum (?:input|prompt|sequence|token)\w{0,2})\b"
)
_MODEL_CAN: Final = (
    r"(?:model|engine|endpoint|deployment|provider|assistant)(?:'s)?\s(?:\w{1,12}\s)?(?:can|could"
    r"|accepts?|allows?|supports?|handles?|takes?|reads?|permits?|is able|window|limit|context"
    r"|maximum)\b"
)
_OUTPUT: Final = r"\boutput|completion length|image|\bpdf\b|attachment|\bfile\b|per[ _-]min"
_OUTPUT_ONLY: Final = (
    r"\boutput tokens|completion length|max_(?:completion_|output_)?tokens(?!.{0,40}context)"
    r"|rate.?limit"
)
_UNSAFE: Final = (
    r"(?:safety|moderat\w{2,4}|disallowed|prohibited|harm(?:ful|s)?|unsafe|nsfw|explicit"
    r"|violen\w{2}"
    r"|sexual|hate(?:ful)?|self-harm|sensitive|offensive|inappropriate|copyright\w{0,3}"
    r"|public code|illegal|dangerous|usage rules|content (?:rules|policy|polic\w{2,3}|filters?))\b"
)
_STOPPED: Final = (
    r"(?:declin\w{2,3}|refus\w{2,3}|withh[eo]ld|reject\w{2,3}|block\w{2,3}|flagg\w{2,3}"
    r"|stopp\w{2,3}"
    r"|suppress\w{2,3}|filtered|censored|cut|removed|violat\w{1,4}|detected|triggered"
    r"|not allowed)\b"
)
_MEANS: Final = (
    r"(?:allowances?|balance|credits?|money|funds|wallet|trial|free (?:messages|requests"
    r"|usage|tier|quota|tokens|credits|plan)|included (?:usage|requests|credits)|subscription"
    r"|spend(?:ing)?[ -](?:cap|limit|allowance)|premium requests|prepaid (?:amount|balance"
    r"|credits?)"
    r"|quota)\b"
)
_GONE: Final = (
    r"(?:used(?: up)?|spent|exhausted|gone|run out|ran out|ended|expired|depleted|empty|finished"
    r"|consumed|reached|over|hit|zero|exceeded|surpassed)\b"
)
_PROOF: Final = (
    r"(?:(?:api|access|auth|bearer|refresh|oauth|security|secret|provider|your|the|this|that)[ _-]?"
    r"(?:api[ _-]?)?(?:key|tokens?)|credentials?|log-?in|sign-?in|session|licen[cs]e|passwords?"
    r"|username|account|organi[sz]ation)\b"
)
_REFUSED: Final = (
    r"(?:expired|not accepted|rejected|revoked|not recogni[sz]ed|leaked|compromised|deactivated"
    r"|locked|banned|not valid|no longer valid|must be verified|not been verified"
    r"|invalid|does not match|not activated|not entitled|timed out and)\b"
)
PARTICULAR: Final[tuple[Rule, ...]] = (
    says(
        "content_refused",
        "somebody's rules on content stopped the request or the answer",
        rf"\b{_STOPPED}[,:]?\s{_FAR}{_UNSAFE}",
        rf"\b{_UNSAFE}[,:]?\s{_NEAR}{_STOPPED}",
        r"\b(?:breaks|breaches|violates|against|contrary to|not permitted by|prohibited by)\s"
        r"(?:\w{1,20}\s){0,3}(?:polic(?:y|ies)|guidelines|content rules|safety rules|terms of "
        r"(?:use|service))\b",
        r"\bnsfw (?:content|image|prompt)|(?:can(?:'t|not)|won't|unable to|not able to) (?:help"
        r"|assist) (?:you )?with (?:that|this)\b",
        r"(?:stop|finish)_?reason\W{1,8}(?:refusal|safety|content)",
        r"\b(?:response|output|answer|candidate|completion) was blocked\b|\bdeclined to "
        r"(?:continue|answer|respond)\b",
        r"\b(?:content|prompt|output|input|response)\b.{0,60}\bis blocked\b|sensitive ?content",
        r"reciting from|\bharm_category_|\u654f\u611f|\u4e0d\u5b89\u5168\u5185\u5bb9"
        r"|\u5185\u5bb9\u8fdd\u89c4|\u8fdd\u89c4\u5185\u5bb9|\u6d89\u53ca\u8fdd\u89c4",
        needs="harm_|block|declin|safe|moder|disallow|prohibit|harm|nsfw|explicit|violen|sexual"
        "|hate|sensitive"
        "|offens"
        "|inappropr|copyright|public code|illegal|danger|rules|polic|guideline|terms|with that"
        "|with this|refusal|content|reciting|\u654f\u611f|\u5b89\u5168|\u8fdd\u89c4",
        common=True,
        unless=r"data policy|no endpoints|terms of service\]|token usage|account (?:was|is|has)"
        r"|(?:iam|identity|bucket|network|retention|cors|resource.?based|control) polic|privacy"
        r"|case.?sensitive|thread.?safe|rate.?limit|quota|risk of|review our",
    ),
    says(
        "overflow",
        "so many tokens, and the maximum, which is smaller",
        r"\btokens?\b ?> ?[\d,]{1,12} (?:maximum|max\b)",
        r"\bexceeds? .{0,30}\bmax_(?:seq|model|context|position)\w{0,14}\b",
        r"\btokens of context\b|\bexceeds? (?:the )?(?:model(?:'s)? )?context\b|\bfit (?:the |your"
        r" )?(?:prompt|input|conversation|messages?) in",
        r"maximum allowed content length|\btokens? [\d,]{1,12} > (?:context|limit|max)\w{0,10}"
        r" [\d,]"
        r"|\bcontext window\b.{0,40}\bis [\d,]{3,12} tokens\b|\btokens\b.{0,40}\bexceeds? (?:the"
        r" )?max(?:imum)? (?:message|prompt|input)",
        r"\b(?:sequence|input|prompt|context|token) length.{0,20}\bexceed",
        needs="max|length|context|token|fit ",
        unless=_OUTPUT_ONLY,
        unless_statuses=frozenset({402, 429}),
    ),
    says(
        "overflow",
        "the conversation is larger than the model can read",
        rf"\b{_TALK}[,:]?\s{_NEAR}(?:no longer|not|never|cannot|can't|n't|doesn't|don't) fits?\b",
        rf"\b{_TALK}[,:]?\s{_FAR}(?:larger|longer|bigger|more|greater) than {_NEAR}"
        rf"(?:{_MODEL_CAN}|{_WINDOW})",
        rf"\b{_TALK}[,:]?\s{_NEAR}too (?:long|large|big|much)\b|model's maximum context",
        r"\b(?:input|prompt|context|token) (?:\w{1,12} ){0,2}too long\b|\btoo much (?:text"
        r"|context)",
        rf"(?:too (?:long|large|big|much|many)|more|larger|longer) {_NEAR}(?:for|than) {_NEAR}"
        rf"{_MODEL_CAN}",
        r"(?:at most|up to|maximum of|limit(?:ed)?(?: of| to| is)?|accepts(?: only)?|maximum"
        r"|allows(?: only)?)\s[\d,._]{3,9}k? ?(?:input )?tokens?\b.{0,40}\b(?:but|while|whereas"
        r"|and)"
        r" .{0,40}\d",
        rf"(?:reach|hit|exhaust|exceed|fill|overr[au]n|outgrow|ran out|run out|surpass|overflow)"
        rf"\w{{0,4}}\s{_NEAR}(?:the |its |this )?(?:model's )?{_WINDOW}",
        r"\bcontext (?:is |was |has been |now |already )*(?:full|exhausted|overflow\w{0,4})\b",
        rf"{_WINDOW}\s{_NEAR}(?:reached|hit|full|exhausted|exceeded|surpassed|overflow\w{{0,4}})\b",
        r"\b(?:start|begin|open)\w{0,3} (?:a )?(?:new|fresh) (?:chat|conversation|session|thread)\b"
        r".{0,80}\b(?:shorten|long|length|tokens?)\b|\b(?:long|length|tokens?|full)\b.{0,80}"
        r"\b(?:start|begin|open)\w{0,3} (?:a )?(?:new|fresh) (?:chat|conversation|session"
        r"|thread)\b",
        r"\u8d85\u957f|\u8fc7\u957f|\u8d85[\u51fa\u8fc7].{0,12}(?:\u4e0a\u4e0b\u6587|\u957f\u5ea6"
        r"|token)"
        r"|(?:\u4e0a\u4e0b\u6587|\u957f\u5ea6).{0,12}\u8d85",
        needs="fit|than|too |token|context|maximum|fresh|new |\u8d85|\u8fc7\u957f",
        common=True,
        unless=_OUTPUT + r"|rate.?limit|too many requests|throttl|quota|credits|afford|"
        r"max_(?:completion_|output_)?tokens|timed? ?out|too long to",
        unless_statuses=frozenset({402, 408, 429, 504, 524}),
    ),
    says(
        "quota",
        "money, credits, a trial or an allowance is used up",
        rf"\b{_MEANS}\s{_NEAR}(?:is |are |was |were |has |have |been |all |now |already )*{_GONE}",
        rf"\b(?:used(?: up)?|spent|exhausted|run out of|ran out of|out of|consumed|reached|hit"
        rf"|exceeded|over|depleted|finished)\s{_NEAR}{_MEANS}",
        rf"\b(?:no|zero|without|not enough|insufficient|lacks?|no remaining|not have enough"
        rf"|\w{{1,7}}n't have enough) {_NEAR}{_MEANS}"
        r"(?:\s(?:left|remain\w{0,3}|available|to\b)|\W*$)",
        r"\b(?:come|try|check) (?:back|again) (?:tomorrow|next (?:week|month))\b",
        r"\b100 ?% used\b|\bplan does not include\b",
        r"\bbilling is (?:disabled|off|inactive|suspended)\b|\bno remaining (?:balance|credits?"
        r"|quota|requests)\b",
        r"\bneed(?:s)? to be (?:paid|topped up|recharged)|\b(?:pay|settle) your\b"
        r"|\b(?:invoice|bill) (?:is |was )?(?:overdue|unpaid|past due)|\bpayment (?:failed"
        r"|declined)",
        r"\u4f59\u989d|\u6b20\u8d39|\u5145\u503c|\u989d\u5ea6|\u914d\u989d.{0,8}(?:\u4e0d\u8db3"
        r"|\u7528\u5b8c|\u8017\u5c3d|\u8d85)|\u5957\u9910",
        needs="billing|plan does|100|remaining|allowance|balance|credit|money|funds|wallet|budget"
        "|trial|free "
        "|included|subscription"
        "|spend|premium|prepaid|quota|tomorrow|next |paid|topped|recharged|pay |settle|overdue"
        "|payment|bill|invoice|\u4f59\u989d|\u6b20\u8d39|\u5145\u503c|\u989d|\u5957\u9910",
        common=True,
        unless=r"rate.?limit|token budget|context|per[ _-]min|(?:a|each|every) minute|thinking"
        r"|budget_tokens|time budget|retry budget|time ran out|\binvoice \d|credit card number",
    ),
    says(
        "rate_limited",
        "too much in too short a time",
        r"\b(?:too (?:fast|quick(?:ly)?|often|frequent(?:ly)?)|in (?:a short|quick|rapid))\b.{0,60}"
        r"(?:request|call|message|send|quer|key|wait|slow|going)",
        r"\b(?:request|call|message|send|quer|going|asking)\w{0,4}\b.{0,40}\b(?:too (?:fast|quick"
        r"(?:ly)?"
        r"|often|frequent(?:ly)?)|in (?:a short|quick|rapid))\b",
        r"\btoo many (?:\w{1,12} )?(?:requests|calls|queries|prompts)\b",
        r"\b(?:requests?|calls?|tokens?|messages|queries) (?:are allowed |allowed )?(?:per|a|an"
        r"|each"
        r"|every|/) ?(?:minute|second|min|sec)\b",
        r"\b(?:minute|minutely|hourly|per-minute) (?:allowance|limit|cap|budget|ceiling)\b",
        r"\b(?:slow|ease|hold) (?:it )?(?:down|off)\b",
        r"\bparallel requests?\b.{0,30}limit|\blimit\b.{0,30}\bparallel requests?\b"
        r"|\b(?:already|too many) .{0,30}\b(?:requests?|calls) (?:running|in flight|at (?:once|the "
        r"same time)|in parallel)",
        r"limiting requests|capacity (?:\w{1,12} )?exceeded",
        r"\u9891\u7387|\u5e76\u53d1|\u901f\u7387|\u9650\u6d41|\u8bf7\u6c42\u8fc7(?:\u591a|\u5feb)"
        r"|\u8bbf\u95ee\u91cf\u8fc7\u5927|\u8bf7\u6c42\u6b21\u6570",
        needs="too |short|quick|rapid|minute|second|min|sec|hourly|slow|ease|back|hold|parallel"
        "|running"
        "|in flight|once|same time|limiting|capacity|\u9891\u7387|\u5e76\u53d1|\u901f\u7387"
        "|\u9650\u6d41|\u8bf7\u6c42|\u8bbf\u95ee",
        common=True,
        unless=r"unsupported|invalid (?:value|parameter)|timed? ?out|redirect|too many (?:tools"
        r"|images)"
        r"|fall(?:ing|s)? back|roll(?:ing|s|ed)? back|thread.?hold",
    ),
    says(
        "auth",
        "a key, a login or an account is not accepted, or may not do this",
        rf"\b{_PROOF}\s{_NEAR}{_REFUSED}|\b(?:invalid|wrong|unknown|rejected) {_NEAR}{_PROOF}",
        r"\bno (?:valid )?(?:credentials?|api[ _-]?keys?|log-?in|auth\w{0,10}|account) (?:\w{1,8}"
        r" )?"
        r"(?:found|given|set|configured|provided|supplied|available)\b",
        r"\b(?:sign|log) (?:back )?in (?:again|first|to (?:continue|use|your))\b|\bre-?authenticate"
        r"|\bauthenticate (?:first|again)\b",
        r"\bnot (?:allowed|permitted|entitled|licensed|enabled|cleared|granted) (?:to use|access"
        r"|for"
        r" (?:your|this (?:account|key|organi[sz]ation|project|user)))\b|\bnot in the authorized"
        r" list",
        r"\bnot (?:available|offered|supported|served) (?:in|for|from) (?:your|this) (?:country"
        r"|region|location|territory)\b",
        r"\b(?:organi[sz]ation|account|identity|email|phone) (?:must|needs to|has to) be verified",
        r"\b(?:organi[sz]ation|account|identity) requires verification\b",
        r"config profile .{1,60} could not be found|\bprofile '.{1,60}' not found"
        r"|\binsufficient (?:\w{1,20} )?(?:scopes?|privileges?)\b",
        r"\bapi has not been used in project|could not load credentials|retrieve a token",
        r"oauth .{0,40}not supported|\bsign(?:ing)? in again\b|token has been invalidated"
        r"|\baccount\b.{0,60}\b(?:deleted|deactivated)\b|\b(?:failed|unable) to authenticate\b",
        r"\b(?:jwt|bearer(?: token)?)\b.{0,20}\b(?:expired|malformed|invalid|missing|rejected)\b"
        r"|\b(?:organi[sz]ation|org|administrator) policy: .{0,40}\bnot allowed\b",
        r"invalid username or password|\baccess to \S{1,80} \S{1,80} is restricted",
        r"\u8eab\u4efd\u9a8c\u8bc1|\u8ba4\u8bc1\u5931\u8d25|\u9274\u6743|\u4ee4\u724c"
        r"|\u5bc6\u94a5.{0,8}(?:\u65e0\u6548|\u9519\u8bef|\u8fc7\u671f)|\u672a\u6388\u6743"
        r"|\u65e0\u6743|\u6743\u9650\u4e0d\u8db3",
        needs="key|token|credential|log|sign|session|licen|password|username|account|organi|auth"
        "|jwt|bearer|policy|not |profile|scope|privilege"
        "|verified|project|restricted|\u8eab\u4efd|\u8ba4\u8bc1|\u9274\u6743|\u4ee4\u724c"
        "|\u5bc6\u94a5|\u6388\u6743|\u6743",
        common=True,
        unless=r"unexpected token|max_?tokens|tokens? (?:limit|count|exceed)|tool|too (?:long"
        r"|large)"
        r"|not found|unsupported_value|server(?:'s)? (?:session|error)|websocket|session (?:is )?"
        r"(?:closed|limit)",
        unless_statuses=frozenset({408, 409, 429, *range(500, 531)}),
    ),
)
