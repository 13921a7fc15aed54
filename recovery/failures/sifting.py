"""The sieve: whether a text has a shape that no provider's error has.

A shape yields to the marks of a provider that are found in the same text: that of a client library
or an error envelope, the words that clients begin an error with, the words of models.
"""

from __future__ import annotations

import re
from typing import Final

from recovery.failures.evidence import ERROR_NAMES
from recovery.failures.false_positives import CODE, DATA, SHAPES, TALK, Shape

_SDK_NAME: Final = re.compile(
    r"\b(?:openai|anthropic|litellm|cohere|mistralai|groq|together|fireworks|ollama"
    r"|botocore(?!\.exceptions\.ClientError)|xai_sdk|cerebras|huggingface_hub|text_generation|vertexai|replicate|langchain\w{0,20}"
    r"|pydantic_ai|google(?!\.(?:firebase|cloud))|openrouter|deepseek|dashscope|zhipuai)(?:\.\w{1,60}){1,8}(?=:|\Z|\s)"
)
_SDK: Final = re.compile(
    r"(?:site-packages|dist-packages|node_modules)[/\\](?:openai|anthropic|@anthropic-ai|litellm"
    r"|cohere|@?mistralai|groq|together|google[/\\]genai|google[/\\]api_core|@google[/\\]gen"
    r"|@google-cloud|botocore|@aws-sdk|ollama|@ai-sdk|ai[/\\]dist|@openrouter|xai_sdk"
    r"|huggingface_hub)|@ai-sdk/|\bAI_\w{1,40}Error\b"
    r"|(?<!`)\b(?:OpenAI|Anthropic|Gemini|Mistral|Cohere|Groq|Ollama|Bedrock|VertexAI|Deep[sS]eek"
    r"|OpenRouter|Azure|HuggingFace)\w{0,20}(?:Error|Exception)\b|(?<!`)\bAPICallError\b"
    r"|An error occurred \(\w{1,80}\)\s{1,40}when calling the (?:Invoke|Converse)"
    r"|[{,]\s{0,40}\\{0,7}[\"']type\\{0,7}[\"']\s{0,2}:\s{0,2}\\{0,7}[\"']error"
    r"|\{\s{0,40}(?:\\n\s{0,40})?\\{0,7}[\"']error\\{0,7}[\"']\s{0,2}:\s{0,2}\\{0,7}[{\"']"
    r"|\bError code: \d{3} - "
)
"""The mark of a client library of a provider, or of a provider's envelope for errors."""
_PROVIDER: Final = re.compile(
    r"\b[A-Z]{3,20}_API_KEY\b|\$bunfs/root/|\baws_request_id\b|\breq_\w{8}"
    r"|\b(?:GenerateContent|GenerateAssistant|InvokeModel|Converse|ChatCompletion)\w{0,40}\b"
    r"|\b[Gg]rpc(?:\.\w{1,40}){1,4}Exception\b|RpcError\b"
    r"|\bgrpc_(?:status|message)\b"
    r"|\b(?:httpx|httpcore|h11|aiohttp|websockets)\.(?:\w{1,40}\.){0,3}"
    r"(?!ConnectError)\w{1,40}(?:Error|Timeout|ClosedOK)\b"
    r"|\b(?:api\.(?:openai|anthropic|mistral|cohere|groq|together|fireworks|deepseek|x|z|moonshot)"
    r"\.(?:com|ai|xyz|cn)|openrouter\.ai|generativelanguage\.googleapis|aiplatform\.googleapis"
    r"|openai\.azure\.com|bedrock-runtime|platform\.openai\.com)\b"
    r"|\b[Aa]gent (?:encountered an error|execution (?:terminated|failed))"
    r"|\A.{0,120}<(?:!doctype|!DOCTYPE|html|HTML|head)\b"
    r"|\A\W{0,8}(?:Error: |Uncaught )?(?:API [Ee]rror|LLM (?:provider )?error|AxiosError"
    r"|\w{0,20}APIError)\b"
    r"|\A(?:\w{0,20}Error: )?(?:\d{3} (?:status code|[{\"'])|fetch failed|Failed to fetch$"
    r"|terminated$|Connection error\.|Request timed out\.|read ECONN|connect E|getaddrinfo "
    r"|socket hang up|Premature close)"
    r"|\A(?:ValueError: )?Error (?:raised by|from (?:provider|model|LLM))"
    r"|had an error (?:while )?processing your request|Requested tokens .{0,20}exceed context"
    r"|^ValueError: (?:Model \S{1,80} |.{0,80}(?:context (?:window|length)"
    r"|[Aa][Pp][Ii].?[Kk][Ee][Yy])|.{0,400}finish_reason)",
    re.MULTILINE,
)
"""What makes a provider likely: its address, or words that its clients begin an error with."""
_WORDS: Final = re.compile(
    r"rate limit reached for|context (?:length|window)|max_?tokens|\btokens\b|\bprompt\b"
    r"|api[ _-]?key|\bcredits?\b|usage limit|insufficient balance|content.?filter|overloaded_error"
    r"|\b(?:the|this|your|different|another|ai|language) model\b|\bllm\b|\bgpt-\d|claude|gemini"
    r"|openai|anthropic|mistral|deepseek|groq|ollama|llama|\binference\b",
    re.IGNORECASE,
)
"""Words by which a message speaks of a model's provider, whatever carries it."""
# Data that has no key in which an error would be told is somebody's result.
_ERROR_KEY: Final = re.compile(
    r"[\"']name[\"']\s{0,4}:\s{0,4}[\"']\w{1,80}(?:Exception|Error)[\"']|[\"'](?:err|errors?|(?:finish|stop|block)Reason"
    r"|\w{0,20}[_-]?(?:error|message|code|status|type|reason)|msg|details?|fault"
    r"|exception|Message|errorMessage|errorType|statusCode|__type)\\{0,7}[\"']\s{0,4}:"
)
_URL: Final = re.compile(r"https?://\S{1,2000}")
_FRAMES: Final = re.compile(
    r"^\s{1,12}at \S.{0,400}\n?|^\s{0,12}\S{1,200}\.rs:\d+(?::\d+)?\s{0,8}$", re.MULTILINE
)
_PATTERNS: Final = tuple(
    (shape, re.compile("|".join(f"(?:{text})" for text in shape.text), re.MULTILINE))
    for shape in SHAPES
)
# One of them is a manner of speaking, several are people who talk.
_MANNERS: Final = tuple(
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        (
            r"\b(?:this|the|these) (?:pr|pull request|issue|commit|patch|change|fix|function"
            "|method|class|detection|implementation|decorator|wrapper|handler|regex|repo"
            "|codebase|script|example|section|guide|approach|behaviou?r|default|feature|bug"
            r"|logic|loop|user|users|caller|agent|client|cli|app|code|tests?)\b"
        ),
        (
            r"\b(?:for example|such as|instead of|rather than|in order to|otherwise|therefore"
            r"|so that|which (?:is|are|makes|means|would|should))\b"
        ),
        (
            r"\b(?:when|whenever|if|once|after) (?:the|a|an|it|this|any|running|your|our"
            r"|\w+) (?:\w+ )?(?:is|are|was|hits?|returns?|fails?|receives?|gets?|exceeds?"
            r"|becomes?|sends?|throws?|raises?|runs?|gives?|answers?|starts?|ran)\b"
        ),
        (
            r"\b(?:will|should|would|could|can|may|might|must) (?:automatically |also |not "
            r"|then |be |gracefully |simply |always )?(?:retry|retried|return\w*|raise\w*"
            r"|throw\w*|handled?|fail|encounter\w*|trigger\w*|classif\w+|incorrectly|treated"
            r"|caught|surface\w*|expose|wrap|implement\w*|use|log|add|back off|incorrect\w*)\b"
        ),
        (
            r"\b(?:returns?|raises?|raising|throws?|handles?|handling|implements?|implemented"
            "|retries|classif(?:y|ies)|detects?|detection|parses?|recogni[sz]es?|surfaces?"
            "|wraps?|maps?|emits?|catches|swallows?|propagates?|matches|checks?|avoids?) (?:a"
            "|an|the|it|all|any|no|on|as|for|`|rate|http|errors?)"
        ),
        r"`[^`\n]{1,120}`(?s:.){1,400}`[^`\n]{1,120}`",
        r"^#{1,5} \S|^\d\. \S|^[-*] \S|\*\*\S[^*]{1,80}\*\*|^\|.{1,200}\|",
        (
            r"\b(?:[45]\d\d|rate.?limit\w*|time-?out|network|overload|auth\w*|quota|transient"
            "|provider|connection|api|server|stream) (?:errors|failures|responses|exceptions"
            r"|rules|limits|status codes)\b"
        ),
        (
            r"\b(?:exponential back-?off|back-?off|retry (?:logic|path|policy|mechanism|loop"
            r"|count)|error handling|unit tests?|mock(?:s|ed)?|substring|codebase|ci\b"
            "|workflow|steps to reproduce|expected behaviou?r|actual behaviou?r|root cause"
            r"|workaround|edge case|refactor\w*|best practice)\b"
        ),
        (
            r"\b(?:is|are) an? (?:standard|common|generic|known|typed?|kind)\b|\bindicat(?:es?"
            r"|ing) that\b|\bmeans that\b|\boccurs? when\b|\brefers? to\b"
        ),
        (
            r"\bthere (?:is|are) (?:no|a few|several|two|three|many|some)\b|\bcurrently,"
            r"|\b(?:is|are) designed to\b|\bin a given\b|\b(?:typically|usually|generally)\b"
        ),
        (
            r"\b(?:we|they) (?:should|need to|now|also|want|think|tried|have to|saw|see"
            r"|noticed|got|decided)\b|\bI (?:_?think|tried|have|see|saw|mean|noticed|got|was"
            r"|am|don't|believe)\b|\bit's not clear\b|\b(?:classified|treated|reported"
            r"|labell?ed|marked|shown) as\b"
            r"|\b(?:treating|counting|classifying) (?:it|this|them) as\b"
        ),
        (
            r"\bmeans? (?:your|the|a|it|there)\b|\b(?:in short|by default|note that"
            r"|in other words|for context|i\.e\.|e\.g\.)"
        ),
        r"\b(?:because|since) (?:the|a|it|its|you|we|they|there|of)\b|\byou can fix\b",
        r"\bwhich is why\b|\bbefore this\b|\bbut now\b|\b(?:we|they|I) (?:were|was|are) \w+ing\b",
        r"\bnow (?:retries|waits|answers|returns|handles|raises)\b|\b(?:was|were) abandoned\b",
        r"\b(?:intermittently|sometimes|silently|already|gracefully|incorrectly)\b",
    )
)
_TALKS: Final = 2
_CODE_LINE: Final = re.compile(
    r"\s*(?:[+-]\s{0,40})?(?:(?:def|class|import|from|elif|else|for|while|try|except|finally|return"
    r"|raise|throw|const|let|var|function|async|await|export|case|catch|switch|public|private|fn"
    r"|func|echo|print|assert|with|pass|break|continue|default|struct|impl|match|use|package)\b.*"
    r"|(?:if|for|while)\b.{1,200}[:{(]|@\w.*|//.*|#\s.*"
    r"|(?!status |details )\w[\w.\[\]]*(?:: [\w.\[\] |]+)? [-+|]?= .+"
    r"|[\w.]+\(.*\)?;?|[)\]}]+[,;:]?|[\w.]+\(.*\),?|\w+: .{1,60},|.*(?:;|=> \{|\) \{|&&|\|\|))\s*"
)


_ERROR_LINE: Final = re.compile(r"(?:Uncaught )?\w{0,40}(?:Error|Exception): ")


def sift(text: str) -> Shape | None:
    """Return the shape of what ``text`` is instead of a provider's error, or None."""
    bare = _URL.sub(" ", text)
    told = _FRAMES.sub("", bare)
    by_sdk = _SDK.search(text) is not None or any(
        name.endswith(ERROR_NAMES) for name in _SDK_NAME.findall(text)
    )
    provider = by_sdk or _PROVIDER.search(text) is not None
    marks = {
        "sdk": by_sdk,
        "provider": provider,
        "words": provider or _WORDS.search(bare) is not None,
        "nothing": False,
    }
    for shape, pattern in _PATTERNS:
        where = bare if shape.name == "stack" else told
        if not marks[shape.yields] and pattern.search(where) is not None:
            return shape
    for shape, holds in ((DATA, _is_data), (CODE, _is_code), (TALK, _is_talk)):
        if not marks[shape.yields] and holds(told):
            return shape
    return None


def _is_data(text: str) -> bool:
    """Tell whether ``text`` is one JSON object or a list of them, and tells of no error."""
    plain = text.strip()
    whole = (plain.startswith("{") and plain.endswith("}")) or plain.startswith("[{")
    return whole and _ERROR_KEY.search(plain) is None


def _is_code(text: str) -> bool:
    """Tell whether most lines of ``text`` are of a program."""
    lines = [line for line in text.splitlines() if line.strip()]
    found = sum(_CODE_LINE.fullmatch(line) is not None for line in lines)
    return len(lines) > 1 and found * 2 > len(lines) and _ERROR_LINE.match(lines[0]) is None


def _is_talk(text: str) -> bool:
    """Tell whether ``text`` is written as people write about errors."""
    return sum(manner.search(text) is not None for manner in _MANNERS) >= _TALKS
