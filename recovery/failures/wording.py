"""How a text is written: whether a provider wrote it, and what kind of failure its words mean.

Tools print tracebacks, logs, tests, source and prose, and all of these speak of rate limits and
timeouts. And no two services phrase a failure alike, but all use the same few words. So a text is
taken apart into its words and marks, one by one and in pairs, and each of these weighs for or
against a false positive and for or against each kind. The weights are learned from labelled texts
and stand in ``weights.tsv``, in tenths of a logit: a column for false positives, then one a kind.

Most labelled texts are English. Of another language, the words that failures are told with count as
the English ones (``abroad.tsv``). Who wrote a text shows in its shape too, and in the programs that
it names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from importlib.resources import files
from itertools import islice, pairwise
from types import MappingProxyType
from typing import Final

from recovery.failures.kinds import Kind

FALSE_POSITIVE: Final = "false_positive"
"""The row that is named where the sieve decided."""
KINDS: Final[tuple[Kind, ...]] = (
    *("overflow", "transient", "rate_limited", "quota", "auth", "invalid_request"),
    "content_refused",
)
"""The kinds that are weighed, in the order of their columns."""
BIAS: Final = "<bias>"
_EVEN: Final = 8
"""How much must weigh for a false positive, over the root of how many features there are."""
_EVEN_OF_WORDS: Final = -2
"""How much where its words alone speak for a failure, and no rule knows one of them."""
_LEAST: Final = -20
"""How much must weigh for a kind, and for it more than for any other."""
_LEAST_ALONE: Final = 12
"""How much a single word must weigh: ``error`` or ``bad`` by itself means no kind."""
_OTHERS: Final = re.compile(
    r"when calling the (?!Invoke|Converse|Retrieve|CountTokens|ApplyGuard)\w{1,60} operation"
)
"""An operation of a service that is no model's."""
_ELSEWHERE: Final = re.compile(
    r"\s{0,9}(?:@@ -\d|\$ \S|ssh: "
    r"|(?:build|chore|ci|docs|feat|fix|perf|refactor|style|test)(?:\([^()\n]{1,40}\))?!?: \S)"
)
"""How a change of a file and its title, a command at a prompt and a login elsewhere begin."""
_HEAD: Final = 1_600
_TAIL: Final = 400
_MOST_TOKENS: Final = 250
_FEWEST: Final = 3
_TOLD: Final = 3
_CJK: Final = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_TOKEN: Final = re.compile(
    r"(?P<url>https?://\S{1,2000})"
    r"|(?P<file>[\w./\\-]{1,200}\.(?:py|pyi|js|jsx|mjs|cjs|ts|tsx|go|rs|java|kt|rb|php|cc?|cpp"
    r"|hp*|cs|swift|sh|sql|md|rst|txt|csv|json|ya?ml|toml|ini|cfg|conf|lock|log|html|css)\b"
    r"(?:[:(]\d+)?)"
    r"|(?P<snake>[A-Za-z]\w{0,60}_\w{1,60})"
    r"|(?P<error>[A-Z]\w{0,60}(?:Error|Exception)\b)"
    r"|(?P<camel>(?:[A-Z][a-z0-9]{1,30}){2,8}\b|[a-z]{1,30}[A-Z]\w{0,60})"
    rf"|(?P<sign>[{_CJK}])|(?P<word>[^\W\d_{_CJK}]{{1,60}}(?:'[a-z]{{1,2}})?)"
    r"|(?P<status>(?!443)[45]\d\d)(?![.,]?\d)|(?P<number>\d{1,40}(?:[.,]\d{1,40}){0,8})"
    r"|(?P<indent>\n[^\S\n]{1,200})|(?P<line>\n)|(?P<mark>[^\w\s])"
)
_VERBATIM: Final = frozenset({"word", "sign", "mark"})
_STEM: Final = 5
_OPENING: Final = 6
"""So many tokens stand for how a text begins, each by itself."""
_FOREIGN: Final = re.compile(
    r"\b(?:bitte|nicht|wurden?|und|eine?|diese[rs]?|ihre?|der|das|ist|sie|f[uü]r|vous|votre|veuillez"
    r"|les?|une|est|pas|dans|por|para|las?|los|una?|fue|est[aá]|su|del|n[aã]o|foi|sua|uma|il|della"
    r"|non|questo|sono)\b",
    re.IGNORECASE,
)
"""Words by which a text in letters of English shows that it is in another language."""
_FOREIGN_WORDS: Final = 2


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


_MODELS: Final = _names(
    """
    aider aiplatform anthropic ark baichuan bedrock bigmodel cerebras chatcompletion chatgpt
    claude cline codex cohere completion completions continue copilot cursor dashscope databricks
    deepseek doubao embeddings ernie fireworks gemini gemma generativelanguage glm goose gpt grok
    groq haiku huggingface hunyuan hyperbolic inference kimi langchain litellm llama llm lmstudio
    minimax mistral mixtral model models moonshot nim novita nvidia ollama openai opencode
    openrouter opus perplexity prompt qwen replicate roo sambanova siliconflow sonnet together
    vertex vllm volcengine windsurf xai yi zhipu
    """
)
"""Names of providers, of models and of agents, and words that stand beside these."""
_PROGRAMS: Final = _names(
    """
    actions aiohttp airflow anaconda ansible apache apk apt archive artifact artifacts az azurerm
    bigquery bitbucket blob branch brew bundler cargo cart cassandra celery checkout circleci
    cloudflare cloudformation codecov commit composer conda crates cron curl cypress debian deploy
    deployment discord dnf dns docker dockerhub dpkg drive dynamodb ec2 elasticsearch es eslint
    firebase firestore fly ftp gcloud gem geocoding gh git github gitlab glab gmail go gradle
    gsutil gunicorn hadoop haproxy helm heroku homebrew hubspot imap invoice jenkins jest jira
    journal junit kafka kerberos kubectl kubelet lambda ldap login mailgun manifest maps mariadb
    maven merge mocha mongo mongodb mypy mysql netlify nginx notion npm npmjs nuget order orders
    packagist pip playstore playwright pnpm pod podman pods poetry postgres postgresql psycopg
    pull push pypi pytest pythonhosted rabbitmq redis registry repository route53 rspec rsync
    rubygems runner rustup s3 salesforce selenium sendgrid sftp sheets shopify slack smtp snap
    sonar spark sqlite ssh stripe systemd telegram tenant terraform travis tsc tweepy twilio
    ubuntu uv uvicorn vagrant vercel vite vitest webhook webpack wget workflow wrangler yarn
    yarnpkg yum zendesk
    """
)
"""Names of other programs and services, and words for what these handle."""
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_CODE_NAME: Final = re.compile(
    r"[A-Za-z]\w{0,60}_\w{1,60}|[a-z]{1,30}[A-Z]\w{1,60}|(?:[A-Z][a-z0-9]{1,30}){2,8}"
)
_PART: Final = re.compile(r"[A-Z]?[a-z]{3,30}|[A-Z]{3,30}")
_ADDRESS: Final = re.compile(r"https?://([^/\s\"')]{1,200})\S{0,2000}")
_ASKS_A_MODEL: Final = re.compile(
    r"/(?:responses|messages|completions|embeddings|models/"
    r"|api/(?:generate|chat|tags))|:11434|:1234\b|:8317"
)
_NEARBY: Final = ("localhost", "127.", "10.", "192.")
_MOST_NAMED: Final = 3
_SHAPES: Final = (
    ("<clock>", re.compile(r"\d{1,2}:\d\d:\d\d")),
    ("<brace>", re.compile(r"\{")),
    (
        "<answer>",
        re.compile(r"[{,]\s*\\*[\"'](?:error|type|message|code|status|detail)\\*[\"']\s*:"),
    ),
    ("<change>", re.compile(r"^[+-]", re.MULTILINE)),
    ("<statement>", re.compile(r"[;{]\s*$", re.MULTILINE)),
    ("<call>", re.compile(r"\w\(.*\)")),
    ("<method>", re.compile(r"\w\.\w+\(")),
)
"""What stands in some texts and not in others: a time, JSON of an answer, a change, code."""
_FIRST: Final = re.compile(r"\W*([\w.()]+)(:?)")
_LINES: Final = (1, 2, 5, 12)
_PARTS: Final = re.compile(
    r"\n|[\"'](?:error|message|detail|reason|title)\\*[\"']\s*:\s*\\*[\"']|\\*[\"']\s*[,}]"
)
_MOST_PARTS: Final = 12


def features(text: str) -> tuple[str, ...]:
    """Return what ``text`` is made of, each once: tokens, beginnings, neighbours joined by a space.

    What differs in every text is folded: an address, a file, a number, a name of code. The start,
    the end and the lines are marks like others, so that a pair can be ``? <end>`` or ``<line> -``.
    A long word is there by its beginning too (``token~``). Of a script without spaces, each sign
    is a token. Of a long text, the first 1,600 characters and the last 400 are looked at, and 250
    tokens.
    """
    plain = text.strip().replace("\u2019", "'")
    if len(plain) > _HEAD + _TAIL:
        plain = f"{plain[:_HEAD]}\n{plain[-_TAIL:]}"
    if not plain.isascii() or len(set(map(str.lower, _FOREIGN.findall(plain)))) >= _FOREIGN_WORDS:
        plain = _abroad().sub(_in_english, plain)
    tokens = ["<start>"]
    stems = []
    for match in _TOKEN.finditer(plain):
        token = _token(match)
        tokens.append(token)
        if match.lastgroup == "word" and len(token) > _STEM:
            stems.append(f"{token[:_STEM]}~")
        if len(tokens) > _MOST_TOKENS:
            break
    tokens.append("<end>")
    return tuple(dict.fromkeys((*tokens, *stems, *map(" ".join, pairwise(tokens)))))


def _token(match: re.Match[str]) -> str:
    """Return what of ``match`` is the same in every text."""
    kind = match.lastgroup or ""
    return match[0].lower() if kind in _VERBATIM else f"<{kind}>"


@cache
def abroad() -> Mapping[str, str]:
    """Return how other languages begin the words that failures are told with, by the English."""
    return MappingProxyType(dict(_rows("abroad.tsv")))


@cache
def _abroad() -> re.Pattern[str]:
    words = (f"(?P<w{place}>{begins})" for place, begins in enumerate(abroad().values()))
    return re.compile("|".join(words), re.IGNORECASE)


def _in_english(word: re.Match[str]) -> str:
    return f" {tuple(abroad())[int((word.lastgroup or 'w0')[1:])]} "


def shape(text: str) -> tuple[str, ...]:
    """Return marks of who may have written ``text``: what it looks like and whom it names."""
    lines = [line for line in text.splitlines() if line.strip()]
    first = lines[0].strip() if lines else ""
    word = _FIRST.match(first)
    seen = text[: _HEAD + _TAIL]
    named = {name.lower() for name in _NAME.findall(seen)}
    return (
        f"<lines {sum(len(lines) > most for most in _LINES)}>",
        f"<size {min(len(text).bit_length(), 11)}>",
        f"<ends {'a' if first[-1:].isalnum() else first[-1:]}>",
        f"<begins {_look(first[:1])}>",
        *([] if word is None else [f"<first {_look(word[1])}{word[2]}>"]),
        f"<models {min(len(named & _MODELS), _MOST_NAMED)}>",
        f"<programs {min(len(named & _PROGRAMS), _MOST_NAMED)}>",
        *(mark for mark, looks in _SHAPES if looks.search(text)),
        *dict.fromkeys(
            (
                *map(_whose, _ADDRESS.finditer(seen)),
                *(f"_{part.lower()}" for part in _PART.findall(" ".join(_CODE_NAME.findall(seen)))),
                *(f"^{_token(match)}" for match in islice(_TOKEN.finditer(seen), _OPENING)),
            )
        ),
    )


def _whose(address: re.Match[str]) -> str:
    """Return whose ``address`` may be: a model's, another program's, one nearby or anybody's."""
    host = address[1].lower()
    names = set(_NAME.findall(host))
    if names & _MODELS or _ASKS_A_MODEL.search(address[0]):
        return "<address model>"
    if names & _PROGRAMS:
        return "<address program>"
    return "<address near>" if host.startswith(_NEARBY) else "<address>"


def _look(word: str) -> str:
    """Return how ``word`` is written; a mark stands for itself."""
    if not word[:1].isalpha():
        return "0" if word[:1].isalnum() else word[:1]
    if "." in word:
        return "a.a"
    if word.isupper() and len(word) > 1:
        return "AA"
    if word.islower():
        return "a"
    return "aA" if word[1:].lower() != word[1:] else "A"


def sift(text: str, *, by_words: bool = False) -> str | None:
    """Return what shows that ``text`` is no provider's error, or None where it may be one.

    Of one word or two nobody can tell. ``by_words`` says that words alone, and no rule, speak for
    a failure: then less is enough to show that there was none.
    """
    if (other := begins_elsewhere(text) or _operation(text)) is not None:
        return other
    named = features(text)
    if _words(named) < _FEWEST:
        return None
    known = weights()
    told, count = sum(known[name][0] for name in named if name in known), len(named)
    del named  # only one of the two is held at a time
    marks = shape(text)
    told += sum(known[name][0] for name in marks if name in known)
    most = _EVEN_OF_WORDS if by_words else _EVEN
    if known[BIAS][0] + told / math.sqrt(count + len(marks)) <= most:
        return None
    return _heaviest((*features(text), *marks), 0)


def begins_elsewhere(text: str) -> str | None:
    """Return how ``text`` begins where no provider's error begins so, None of any other."""
    begun = _ELSEWHERE.match(text)
    return None if begun is None else begun[0].strip()


def _operation(text: str) -> str | None:
    other = _OTHERS.search(text)
    return None if other is None else other[0]


@lru_cache(maxsize=16)
def meaning(text: str) -> tuple[Kind, str] | None:
    """Return the kind for which the words of ``text`` weigh most, and the heaviest of them.

    None where they hardly weigh for any. Of what weighs for none as a whole, each line and each
    message that is quoted in it is weighed by itself.
    """
    whole = _meaning(text)
    if whole is not None:
        return whole
    parts = dict.fromkeys(map(str.strip, _PARTS.split(text)[:_MOST_PARTS]))
    told = (part for part in parts if _words(features(part)) >= _FEWEST)
    return next(filter(None, map(_meaning, told)), None) if len(parts) > 1 else None


def _meaning(text: str) -> tuple[Kind, str] | None:
    named = features(text)
    sums = _weighed(named)[1:]
    most = max(sums)
    if most <= (_LEAST if _words(named) > 1 else _LEAST_ALONE):
        return None
    place = sums.index(most)
    return KINDS[place], _heaviest(named, place + 1)


def _words(named: tuple[str, ...]) -> int:
    """Return how many tokens there are beside the start and the end."""
    return sum(" " not in name and name[-1] != "~" for name in named) - 2


def _weighed(named: tuple[str, ...]) -> tuple[int, ...]:
    """Return the sum of each column over ``named``."""
    known = weights()
    rows = [known[BIAS], *(known[name] for name in named if name in known)]
    return tuple(map(sum, zip(*rows, strict=True)))


def _heaviest(named: tuple[str, ...], column: int) -> str:
    """Return the names that weigh most in ``column``."""
    known = weights()
    found = {name: known[name][column] for name in named if name in known}
    return " … ".join(sorted(found, key=lambda name: -found[name])[:_TOLD])


@cache
def weights() -> Mapping[str, tuple[int, ...]]:
    """Return how much each feature weighs, a number a column."""
    return MappingProxyType(
        {name: tuple(int(each or 0) for each in tenths) for *tenths, name in _rows("weights.tsv")}
    )


def _rows(name: str) -> Iterator[list[str]]:
    """Yield the rows of a table of this package."""
    for line in files(__package__).joinpath(name).read_text("utf-8").splitlines():
        yield line.split("\t")
