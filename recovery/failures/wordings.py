"""Rules for what services, gateways and people say in words of their own.

No two services phrase a failure alike, but all speak of the same few things. So these rules join
a subject (the conversation, the allowance, the key …) with what is said of it, close by, instead
of listing messages. They come before the HTTP status, like all that is said in particular.
"""

from __future__ import annotations

from typing import Final

from recovery.failures.kinds import Rule
from recovery.failures.rows import FAR, NEAR, says

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
    says("content_refused", "content_rules",
        "somebody's rules on content stopped the request or the answer",
        rf"\b{_STOPPED}[,:]?\s{FAR}{_UNSAFE}",
        rf"\b{_UNSAFE}[,:]?\s{NEAR}{_STOPPED}",
        r"\b(?:breaks|breaches|violates|against|contrary to|not permitted by"
        r"|prohibited by)\s(?:\w{1,20}\s){0,3}(?:polic(?:y|ies)|guidelines|content rules"
        r"|safety rules|terms of (?:use|service))\b",
        r"\bnsfw (?:content|image|prompt)|(?:can(?:'t|not)|won't|unable to"
        r"|not able to) (?:help|assist) (?:you )?with (?:that|this)\b",
        r"(?:stop|finish)_?reason\W{1,8}(?:refusal|safety|content)",
        r"\b(?:response|output|answer|candidate|completion) was blocked\b"
        r"|\bdeclined to (?:continue|answer|respond)\b",
        r"\b(?:content|prompt|output|input|response)\b.{0,60}\bis blocked\b"
        "|sensitive ?content",
        r"reciting from|\bharm_category_|\u654f\u611f|\u4e0d\u5b89\u5168\u5185\u5bb9"
        r"|\u5185\u5bb9\u8fdd\u89c4|\u8fdd\u89c4\u5185\u5bb9|\u6d89\u53ca\u8fdd\u89c4",
        common=True,
        unless=r"data policy|no endpoints|terms of service\]|token usage|account (?:was|is|has)"
        "|(?:iam|identity|bucket|network|retention|cors|resource.?based|control) polic"
        "|privacy|case.?sensitive|thread.?safe|rate.?limit|quota|risk of|review our",
        example="finish_reason=content_filter",
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
        r"\b(?:sequence|input|prompt|context|token) length.{0,20}\bexceed",
        unless=rf"{_OUTPUT_ONLY}",
        unless_statuses=(402, 429),
        example='"Sequence length 9000 exceeds maximum 8192"',
    ),
    says("overflow", "conversation_too_large",
        "the conversation is larger than the model can read",
        rf"\b{_TALK}[,:]?\s{NEAR}(?:no longer|not|never|cannot|can't|n't|doesn't"
        r"|don't) fits?\b",
        rf"\b{_TALK}[,:]?\s{FAR}(?:larger|longer|bigger|more"
        rf"|greater) than {NEAR}(?:{_MODEL_CAN}|{_WINDOW})",
        rf"\b{_TALK}[,:]?\s{NEAR}too (?:long|large|big|much)\b|model's maximum context",
        r"\b(?:input|prompt|context|token) (?:\w{1,12} ){0,2}too long\b|\btoo much (?:text"
        "|context)",
        rf"(?:too (?:long|large|big|much|many)|more|larger|longer) {NEAR}(?:for"
        rf"|than) {NEAR}{_MODEL_CAN}",
        "(?:at most|up to|maximum of|limit(?:ed)?(?: of| to| is)?|accepts(?: only)?"
        r"|maximum|allows(?: only)?)\s[\d,._]{3,9}k? ?(?:input )?tokens?\b.{0,40}\b(?:but"
        r"|while|whereas|and) .{0,40}\d",
        "(?:reach|hit|exhaust|exceed|fill|overr[au]n|outgrow|ran out|run out|surpass"
        rf"|overflow)\w{{0,4}}\s{NEAR}(?:the |its |this )?(?:model's )?{_WINDOW}",
        r"\bcontext (?:is |was |has been |now |already )*(?:full|exhausted"
        r"|overflow\w{0,4})\b",
        rf"{_WINDOW}\s{NEAR}(?:reached|hit|full|exhausted|exceeded|surpassed"
        r"|overflow\w{0,4})\b",
        r"\b(?:start|begin|open)\w{0,3} (?:a )?(?:new|fresh) (?:chat|conversation|session"
        r"|thread)\b.{0,80}\b(?:shorten|long|length|tokens?)\b|\b(?:long|length|tokens?"
        r"|full)\b.{0,80}\b(?:start|begin|open)\w{0,3} (?:a )?(?:new|fresh) (?:chat"
        r"|conversation|session|thread)\b",
        r"\u8d85\u957f|\u8fc7\u957f|\u8d85[\u51fa\u8fc7].{0,12}(?:\u4e0a\u4e0b\u6587"
        r"|\u957f\u5ea6|token)|(?:\u4e0a\u4e0b\u6587|\u957f\u5ea6).{0,12}\u8d85",
        common=True,
        unless=rf"{_OUTPUT}|rate.?limit|too many requests|throttl|quota|credits|afford"
        "|max_(?:completion_|output_)?tokens|timed? ?out|too long to",
        unless_statuses=(402, 408, 429, 504, 524),
        example="413 Request Entity Too Large: nginx",
    ),
    says("quota", "means_used_up",
        "money, credits, a trial or an allowance is used up",
        rf"\b{_MEANS}\s{NEAR}(?:is |are |was |were |has |have |been |all |now "
        rf"|already )*{_GONE}",
        r"\b(?:used(?: up)?|spent|exhausted|run out of|ran out of|out of|consumed|reached"
        rf"|hit|exceeded|over|depleted|finished)\s{NEAR}{_MEANS}",
        r"\b(?:no|zero|without|not enough|insufficient|lacks?|no remaining|not have enough"
        rf"|\w{{1,7}}n't have enough) {NEAR}{_MEANS}(?:\s(?:left|remain\w{{0,3}}|available"
        r"|to\b)|\W*$)",
        r"\b(?:come|try|check) (?:back|again) (?:tomorrow|next (?:week|month))\b",
        r"\b100 ?% used\b|\bplan does not include\b",
        r"\bbilling is (?:disabled|off|inactive|suspended)\b|\bno remaining (?:balance"
        r"|credits?|quota|requests)\b",
        r"\bneed(?:s)? to be (?:paid|topped up|recharged)|\b(?:pay|settle) your\b"
        r"|\b(?:invoice|bill) (?:is |was )?(?:overdue|unpaid|past due)|\bpayment (?:failed"
        "|declined)",
        r"\u4f59\u989d|\u6b20\u8d39|\u5145\u503c|\u989d\u5ea6"
        r"|\u914d\u989d.{0,8}(?:\u4e0d\u8db3|\u7528\u5b8c|\u8017\u5c3d|\u8d85)"
        r"|\u5957\u9910",
        common=True,
        unless="rate.?limit|token budget|context|per[ _-]min|(?:a|each|every) minute|thinking"
        r"|budget_tokens|time budget|retry budget|time ran out|\binvoice \d"
        "|credit card number",
        example="Billing is disabled for this project",
    ),
    says("rate_limited", "too_fast",
        "too much in too short a time",
        r"\b(?:too (?:fast|quick(?:ly)?|often|frequent(?:ly)?)|in (?:a short|quick"
        r"|rapid))\b.{0,60}(?:request|call|message|send|quer|key|wait|slow|going)",
        r"\b(?:request|call|message|send|quer|going"
        r"|asking)\w{0,4}\b.{0,40}\b(?:too (?:fast|quick(?:ly)?|often|frequent(?:ly)?)"
        r"|in (?:a short|quick|rapid))\b",
        r"\btoo many (?:\w{1,12} )?(?:requests|calls|queries|prompts)\b",
        r"\b(?:requests?|calls?|tokens?|messages|queries) (?:are allowed |allowed )?(?:per"
        r"|a|an|each|every|/) ?(?:minute|second|min|sec)\b",
        r"\b(?:minute|minutely|hourly|per-minute) (?:allowance|limit|cap|budget|ceiling)\b",
        r"\b(?:slow|ease|hold) (?:it )?(?:down|off)\b",
        r"\bparallel requests?\b.{0,30}limit|\blimit\b.{0,30}\bparallel requests?\b"
        r"|\b(?:already|too many) .{0,30}\b(?:requests?|calls) (?:running|in flight"
        "|at (?:once|the same time)|in parallel)",
        r"limiting requests|capacity (?:\w{1,12} )?exceeded",
        r"\u9891\u7387|\u5e76\u53d1|\u901f\u7387|\u9650\u6d41|\u8bf7\u6c42\u8fc7(?:\u591a"
        r"|\u5feb)|\u8bbf\u95ee\u91cf\u8fc7\u5927|\u8bf7\u6c42\u6b21\u6570",
        common=True,
        unless="unsupported|invalid (?:value|parameter)|timed? ?out|redirect|too many (?:tools"
        "|images)|fall(?:ing|s)? back|roll(?:ing|s|ed)? back|thread.?hold",
        example="AxiosError 429: you are sending requests too fast",
    ),
    says("auth", "proof_not_accepted",
        "a key, a login or an account is not accepted, or may not do this",
        rf"\b{_PROOF}\s{NEAR}{_REFUSED}|\b(?:invalid|wrong|unknown"
        rf"|rejected) {NEAR}{_PROOF}",
        r"\bno (?:valid )?(?:credentials?|api[ _-]?keys?|log-?in|auth\w{0,10}"
        r"|account) (?:\w{1,8} )?(?:found|given|set|configured|provided|supplied"
        r"|available)\b",
        r"\b(?:sign|log) (?:back )?in (?:again|first|to (?:continue|use|your))\b"
        r"|\bre-?authenticate|\bauthenticate (?:first|again)\b",
        r"\bnot (?:allowed|permitted|entitled|licensed|enabled|cleared|granted) (?:to use"
        r"|access|for (?:your|this (?:account|key|organi[sz]ation|project|user)))\b"
        r"|\bnot in the authorized list",
        r"\bnot (?:available|offered|supported|served) (?:in|for|from) (?:your"
        r"|this) (?:country|region|location|territory)\b",
        r"\b(?:organi[sz]ation|account|identity|email|phone) (?:must|needs to"
        "|has to) be verified",
        r"\b(?:organi[sz]ation|account|identity) requires verification\b",
        r"config profile .{1,60} could not be found|\bprofile '.{1,60}' not found"
        r"|\binsufficient (?:\w{1,20} )?(?:scopes?|privileges?)\b",
        r"\bapi has not been used in project|could not load credentials|retrieve a token",
        r"oauth .{0,40}not supported|\bsign(?:ing)? in again\b|token has been invalidated"
        r"|\baccount\b.{0,60}\b(?:deleted|deactivated)\b|\b(?:failed"
        r"|unable) to authenticate\b",
        r"\b(?:jwt|bearer(?: token)?)\b.{0,20}\b(?:expired|malformed|invalid|missing"
        r"|rejected)\b|\b(?:organi[sz]ation|org"
        r"|administrator) policy: .{0,40}\bnot allowed\b",
        r"invalid username or password|\baccess to \S{1,80} \S{1,80} is restricted",
        r"\u8eab\u4efd\u9a8c\u8bc1|\u8ba4\u8bc1\u5931\u8d25|\u9274\u6743|\u4ee4\u724c"
        r"|\u5bc6\u94a5.{0,8}(?:\u65e0\u6548|\u9519\u8bef|\u8fc7\u671f)|\u672a\u6388\u6743"
        r"|\u65e0\u6743|\u6743\u9650\u4e0d\u8db3",
        common=True,
        unless="unexpected token|max_?tokens|tokens? (?:limit|count|exceed)|tool|too (?:long"
        "|large)|not found|unsupported_value|server(?:'s)? (?:session|error)|websocket"
        "|session (?:is )?(?:closed|limit)",
        unless_statuses=(408, 409, 429, *range(500, 531)),
        example='{"message":"no api key supplied"}',
    ),
)  # fmt: skip
