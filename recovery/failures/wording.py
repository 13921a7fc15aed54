"""How a text is written: whether a provider wrote it, and what kind of failure its words mean.

Tools print tracebacks, logs, tests, source and prose, and all of these speak of rate limits and
timeouts. And no two services phrase a failure alike, but all use the same few words. So a text is
taken apart into its words and marks, one by one and in pairs, and each of these weighs for or
against a false positive and for or against each kind. The weights are learned from labelled texts
and stand in ``weights.tsv``, in tenths of a logit: a column for false positives, then one a kind.

Most labelled texts are English. Of another language, the words that failures are told with count as
the English ones. Who wrote a text shows in its shape too, and in the programs that it names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files
from itertools import pairwise
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
_EVEN: Final = 3
"""How much must weigh for a false positive."""
_LEAST: Final = -20
"""How much must weigh for a kind, and for it more than for any other."""
_LEAST_ALONE: Final = 10
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
    r"|(?P<status>(?!443)[45]\d\d)(?!\d)|(?P<number>\d{1,40})"
    r"|(?P<indent>\n[^\S\n]{1,200})|(?P<line>\n)|(?P<mark>[^\w\s])"
)
_VERBATIM: Final = frozenset({"word", "sign", "mark"})
_STEM: Final = 5
ABROAD: Final[Mapping[str, str]] = MappingProxyType(
    {
        "error": r"fehler|erreur|errore\b|erro\b|ошибк|错误|錯誤|エラー|오류",
        "failed": (
            r"fehlgeschlagen|échou|échec|fallid|falló"
            r"|falhou|fallit|失败|失敗|실패|не удалось"
        ),
        "server": r"serveur|servidor|сервер|服务器|伺服器|サーバー?|서버",
        "service": r"dienst\b|servicio|serviço|servizio|сервис|服务|服務|サービス|서비스",
        "request": (
            r"anfrage|requête|demande\b|solicitud|petición|solicitação|requisição|richiest"
            r"|запрос|请求|請求|リクエスト|요청"
        ),
        "overloaded": (
            r"überlast|surcharg|sobrecarg|sovraccaric|перегруж|过载|饱和|繁忙|负载|已满|過負荷"
            r"|混雑|과부하|혼잡"
        ),
        "unavailable": (
            r"nicht verfügbar|indisponible|no (?:está )?disponible|indisponível|non disponibil"
            r"|недоступ|不可用|利用できません|사용할 수 없"
        ),
        "timeout": (
            r"zeitüberschreitung|délai|tiempo de espera|tempo (?:limite|esgotado)|время ожидания"
            r"|タイムアウト|超时|逾時|시간 초과"
        ),
        "later": (
            r"später|más tarde|plus tard|mais tarde|più tardi|позже|しばらく|後で|稍后|稍後"
            r"|나중에"
        ),
        "again": (
            r"erneut|nuevamente|réessay|reint[eé]nt|inténtelo|inténtalo|de nouveau|de nuevo"
            r"|novamente|riprova|повтор|もう一度|再試行|再度|重试|重試|再试|다시"
        ),
        "wait": (
            r"warte|veuillez attendre|attendre|espere?\b|aguard|attend(?:i|ere)|等待|お待ち|기다"
            r"|подожд"
        ),
        "connection": (
            r"verbindung|connexion|conexión|conexão|connessione|соединени|подключ|连接|連線|接続"
            r"|연결"
        ),
        "network": r"netzwerk|réseau|\bred\b|\brede\b|сет[ьи]\b|网络|網路|ネットワーク|네트워크",
        "limit": r"grenze|limite|límite|лимит|限制|上限|限流|制限|제한",
        "rate": (
            r"taux|fréquence|velocidad|frecuencia|häufig|частот|频率|频繁|速率|并发|レート|頻度"
            r"|빈도"
        ),
        "exceeded": (
            r"überschr[ei]|dépass|excedi|excedeu|superad|ultrapass|превы[шс]|超出|超过|超過|超え"
            r"|達しました|达到|초과"
        ),
        "quota": r"kontingent|cuota|\bcota\b|квот|配额|額度|额度|クォータ|할당",
        "balance": r"guthaben|solde\b|saldo|баланс|余额|餘額|残高|잔액",
        "credits": r"crédit|积分|資源包|资源包|クレジット|크레딧|кредит",
        "insufficient": r"unzureichend|insuffisan|insuficien|недостаточно|不足|부족",
        "recharge": r"auflad|rechargez|recargu?|ricaric|пополн|充值|チャージ|충전",
        "subscription": (
            r"abonnement|suscripción|assinatura|abbonament|подписк|订阅|訂閱|套餐|サブスク|구독"
        ),
        "exhausted": (
            r"aufgebraucht|erschöpft|épuis|agotad|esgotad|esaurit|исчерп|用完|用尽|耗尽|使い果た"
            r"|소진"
        ),
        "key": r"schlüssel|\bclé|\bclave|\bchave|chiave|ключ|密钥|密鑰|キー|키\b",
        "token": r"jeton|токен|令牌|トークン|토큰",
        "invalid": (
            r"ungültig|invalid[eo]\b|inválid|non valid|недействительн|неверн|无效|無效|不正|無効"
            r"|正しくな|잘못|유효하지"
        ),
        "expired": (
            r"abgelaufen|expirée?\b|caducad|vencid|expirad|scadut"
            r"|истек|过期|失效|期限切れ|만료"
        ),
        "authentication": (
            r"authentifizierung|authentification|autentica|аутентификац|авториз|认证|授权|認証"
            r"|인증"
        ),
        "permission": r"berechtig|autorisation|permiso|permissão|разрешени|权限|権限|권한",
        "login": r"anmeld|connectez-vous|inici[ae]r? sesión|войд|登录|登入|ログイン|로그인",
        "region": r"standort|emplacement|ubicación|регион|地区|区域|地域|지역",
        "model": r"modell|modèle|modelo|модел|模型|モデル|모델",
        "context": r"kontext|contexte|contexto|контекст|上下文|コンテキスト|컨텍스트",
        "length": r"länge|longueur|longitud|comprimento|lunghezza|длин|长度|長さ|길이",
        "too long": (
            r"zu lang|trop long|demasiado larg|muito long|troppo lung|слишком длин|太长|过长"
            r"|長すぎ|너무 길"
        ),
        "reduce": r"reduzier|rédui|reducir|reduzca|减少|缩短|減らし|줄여|сократ",
        "content": (
            r"inhalt|contenu|contenido|conteúdo|contenuto|содержани"
            r"|内容|內容|コンテンツ|콘텐츠"
        ),
        "blocked": r"blockiert|bloqué|bloquead|bloccat|заблокир|拦截|屏蔽|ブロック|차단",
        "safety": (
            r"sicherheit|sécurité|seguridad|segurança|sicurezza"
            r"|безопасност|安全|セーフティ|안전"
        ),
        "sensitive": r"sensib[el]|敏感|违规|センシティブ|민감",
        "parameter": r"paramètre|parámetro|parâmetro|параметр|参数|パラメータ|매개변수",
        "supported": (
            r"unterstütz|prend pas en charge|pris en charge|soporta|admite|支持|サポート|対応"
            r"|지원"
        ),
        "sorry": (
            r"entschuldig|tut uns leid|désolé|lo sentimos|desculp|spiacent|抱歉|申し訳|죄송"
            r"|извините"
        ),
        "please": r"\bbitte|veuillez|por favor|per favore|请|請|ください|주세요|пожалуйста",
        "too many": (
            r"zu viele|trop de\b|demasiad[oa]s|muitas|troppe|слишком много|过多|太多|多すぎ|너무 많"
        ),
        "seconds": r"sekunden?|secondes?|segundos?|secondi|секунд|秒",
        "not found": (
            r"nicht (?:gefunden|vorhanden)|introuvable|n'existe pas|no (?:se )?(?:encontr|existe)"
            r"|não (?:foi )?(?:encontr|existe)|non (?:trovat|esiste)|не найден|未找到|不存在"
            r"|見つかり|찾을 수 없"
        ),
        "interrupted": r"unterbroch|interromp|interrumpi|прерван|中断|断开|끊",
        "temporarily": (
            r"vorübergehend|momentan|temporairement|temporalmente|temporariamente|временно|暂时"
            r"|一時的|일시적"
        ),
        "check": r"überprüf|vérifi|verifi[cq]|comprueb|проверьте|检查|確認|확인",
        "account": (
            r"konto\b|compte\b|cuenta\b|conta\b|аккаунт|учетн|учётн|账[户号]|アカウント|계정"
        ),
        "today": r"heute|aujourd'hui|\bhoy\b|\bhoje\b|\boggi\b|сегодня|今[日天]|오늘",
        "free": r"kostenlos|gratuit|gratis|бесплатн|免费|無料|무료",
        "violates": r"verst(?:ö|oe)(?:ß|ss)t|enfrein|infring|違反|违反|위반|наруша",
        "inappropriate": (
            r"unangemess|inappropri|inapropiad|inadequad|неприемлем|不当|不適切|부적절"
        ),
        "must": r"\bmuss\b|\bdoit\b|\bdebe\b|\bdeve\b|должен|必[须須]",
        "missing": r"fehlt|manquant|manque\b|falta\b|mancante|отсутству|缺少",
        "disabled": r"deaktiviert|désactiv|desactiv|desativ|disattiv|отключ|禁用|無効化|비활성",
        "denied": r"verweigert|refusée?\b|denegad|negad[oa]|negato|отказано|拒绝|拒否|거부",
        "access": r"zugriff|accès|acceso|acesso|accesso|доступ\b|访问|アクセス|접근",
        "add": r"hinzugefügt|\bajout|\bagreg|añad|adicion|добавл|增加|添加|追加|추가",
        "fix": r"behoben|behebt|corrig|correg|исправ|修复|修正|수정",
        "improve": r"verbesser|amélior|mejor[ae]|melhor[ae]|улучш|改善|优化|改进|개선",
        "when": r"\bwenn\b|\bquand\b|\bcuando\b|\bquando\b|когда|时(?!间)|ときに?|場合|\b시\b",
        "why": r"\bwarum\b|pourquoi|por qué|por que\b|почему|为什么|为何|なぜ|왜",
    }
)
"""How other languages begin the words that failures are told with, by the English word."""
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
        kind = match.lastgroup or ""
        token = match[0].lower() if kind in _VERBATIM else f"<{kind}>"
        tokens.append(token)
        if kind == "word" and len(token) > _STEM:
            stems.append(f"{token[:_STEM]}~")
        if len(tokens) > _MOST_TOKENS:
            break
    tokens.append("<end>")
    return tuple(dict.fromkeys((*tokens, *stems, *map(" ".join, pairwise(tokens)))))


@cache
def _abroad() -> re.Pattern[str]:
    words = (f"(?P<w{place}>{begins})" for place, begins in enumerate(ABROAD.values()))
    return re.compile("|".join(words), re.IGNORECASE)


def _in_english(word: re.Match[str]) -> str:
    return f" {tuple(ABROAD)[int((word.lastgroup or 'w0')[1:])]} "


def shape(text: str) -> tuple[str, ...]:
    """Return marks of who may have written ``text``: what it looks like and whom it names."""
    lines = [line for line in text.splitlines() if line.strip()]
    first = lines[0].strip() if lines else ""
    word = _FIRST.match(first)
    named = {name.lower() for name in _NAME.findall(text[: _HEAD + _TAIL])}
    return (
        f"<lines {sum(len(lines) > most for most in _LINES)}>",
        f"<size {min(len(text).bit_length(), 11)}>",
        f"<ends {'a' if first[-1:].isalnum() else first[-1:]}>",
        f"<begins {_look(first[:1])}>",
        *([] if word is None else [f"<first {_look(word[1])}{word[2]}>"]),
        f"<models {min(len(named & _MODELS), _MOST_NAMED)}>",
        f"<programs {min(len(named & _PROGRAMS), _MOST_NAMED)}>",
        *(mark for mark, looks in _SHAPES if looks.search(text)),
    )


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


def sift(text: str) -> str | None:
    """Return what shows that ``text`` is no provider's error, or None where it may be one.

    Of one word or two nobody can tell.
    """
    if (other := begins_elsewhere(text) or _operation(text)) is not None:
        return other
    named = features(text)
    if _words(named) < _FEWEST:
        return None
    named = (*named, *shape(text))
    return None if _weighed(named)[0] <= _EVEN else _heaviest(named, 0)


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

    None where they hardly weigh for any.
    """
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
    lines = files(__package__).joinpath("weights.tsv").read_text("utf-8").splitlines()
    rows = (line.split("\t") for line in lines)
    return MappingProxyType(
        {name: tuple(int(each or 0) for each in tenths) for *tenths, name in rows}
    )
