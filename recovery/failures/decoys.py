"""Texts that are no provider's error, however many of its words they contain.

An agent's failure text may be a tool's own traceback, a test run, a compiler's complaint, a log or
plain prose. These have shapes of their own. A shape that is *certain* is never a provider's error;
any other one yields to a mark of a provider (its SDK's class or path, its error envelope), because
clients do print tracebacks of provider errors.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class Shape(NamedTuple):
    """One shape of text that does not come from a provider."""

    why: str
    pattern: re.Pattern[str]


def _shape(why: str, *alternatives: str) -> Shape:
    return Shape(why, re.compile("|".join(alternatives), re.MULTILINE))


def _either(words: str) -> str:
    """Return a pattern that is any of ``words``, which stand one after the other."""
    return "|".join(words.replace("_", " ").split(","))


# What people and agents open a report of their work with, and providers do not.
_OPENINGS: Final = (
    "I(?!'m_sorry),I've,Let,Let's,Now,Next,Then,First,Finally,Here,He,She,They,These,Those,My,How"
    ",What,Why,When,Where,Who,Which,Should,Does,Do,Is,Are,Remember,Note:,Can_you,Could_you,Would_you"
    ",Returns:,Raises:,Args:,Parameters:,Question,Background,Context:,README"
    ",Maybe,Perhaps,Users,Customers,People,Someone,Nobody,Everyone,Comment,Mail,Email,CHANGELOG"
    ",Sprint,Roadmap,Agenda,Meeting,Story,User_story,Status_codes,HTTP_status_codes,TODO,FIXME"
    ",NOTE,HACK,XXX,Summary"
    ",Documentation,Description"
)
_DEEDS: Final = (
    "Add,Added,Adds,Adding,Fix,Fixed,Fixes,Fixing,Update,Updated,Updates,Updating,Implement"
    ",Implemented,Implements,Implementing,Refactor,Refactored,Refactoring,Increase,Increased"
    ",Decrease,Decreased,Change,Changed,Changes,Changing,Handle,Handled,Handles,Handling,Remove"
    ",Removed,Removes,Removing,Rename,Renamed,Renames,Renaming,Document,Documented,Create,Created"
    ",Creates,Creating,Move,Moved,Moves,Moving,Write,Wrote,Writing,Read,Reading,Set,Configure"
    ",Configured,Run,Runs,Running,Ran,Tests,Tested,Testing,Check,Checked,Checks,Checking,Review"
    ",Reviewed,Reviewing,Investigate,Investigated,Investigating,Process,Processed,Processes"
    ",Processing,Found,Generated,Generates,Generating,Download,Downloaded,Downloading,Install"
    ",Installed,Installing,Compiled,Compiling,Deploy,Deployed,Deploying,Merged,Merging,Searched"
    ",Searching,Deleted,Deleting,Copied,Copying,Uploaded,Saved,Saving,Skipped,Skipping,Built,Building"
    ",Replaced"
    ",Replacing,Extracted,Inserted,Formatted,Linted,Explain,Explained,Explains,Simulate,Simulated"
    ",Simulates,Mock,Mocked,Mocks,Verify"
    ",Verified,Verifies,Verifying,See"
)
_NOT_DONE: Final = (
    "into,limit,quota,error,time_?-?out,timed_?-?out,failed,your_plan,credits,more_credits"
)
_WORKS: Final = (
    "tests?,functions?,files?,modules?,classes,class,scripts?,code,methods?,page,PR,change,logs?"
    ",docs?,documentation,document,handler,suite,fix,bug,ticket,task,branch,commit,patch,invoice"
    ",README,article,paper,book,video,report,word,sentence,section,chapter,constant,agent"
    ",assistant,developer,author,reviewer"
)
_PLANS: Final = "should,need,added,fixed,can,will,must,could,decided"

CERTAIN: Final[tuple[Shape, ...]] = (
    _shape(
        "a Python test run",
        r"^E {2,20}\S|^={3,}.{0,80}={3,}$|^(?:FAILED|PASSED|ERROR) \S+\.py\b|\.py::\w",
        r"\b\d+ (?:passed|failed|skipped|error)\b.{0,40} in \d|^(?:FAIL|ERROR): test",
        r"\btest_\w{1,80} \(|\bAssertionError\b",
    ),
    _shape(
        "a JavaScript test run",
        r"^\s{0,8}\d{1,4}\) \S.{0,200}\n|^\s{0,8}>?\s{0,8}\d{1,6} \| ",
        r"^\s{0,8}[\u25cf\u2715\u2717\u00d7] (?!API|Error|You|Model|Request|Rate|\d{3} )\S"
        r"|^Tests?:? {1,8}\d+ (?:failed|passed)|\bexpect\(",
        r"^\s{0,8}(?:FAIL|PASS) {1,4}\S|\bdone\(\)|[Aa]sync callback|[Tt]est timed out",
        r"[Ee]xceeded timeout of \d+ ?ms for a (?:test|hook)",
    ),
    _shape(
        "an assertion",
        r"\b[Aa]ssert(?:ion failed\b|(?:ed|s)? \S{1,80} (?:==|!=|<|>|is|in|not) )",
        r"\b[Ee]xpected:?\s.{0,40}\b[245]\d\d\b.{0,60}\b[245]\d\d\b",
        r"\b[Ee]xpected.{0,30}\b(?:status|response) code\b",
        r"\b[1-5]\d\d (?:==|!=|===|!==) [1-5]\d\d\b",
        r"\b[Ee]xpected .{1,80} to (?:equal|deep|match snapshot|throw)\b",
    ),
    _shape(
        "a Go or Rust test or a crash report",
        r"^running \d{1,6} tests?$|^test \S{1,200} \.\.\. |^failures:$|test failed, to rerun",
        r"^\s{0,8}--- (?:FAIL|PASS|SKIP):|^(?:FAIL|ok)\t|^panic: |\bgoroutine \d+ \[",
        r"error\[E\d{4}\]|^ {0,8}--> \S{1,200}:\d+:\d+|^thread '.{1,80}' panicked",
        r"[Ss]egmentation fault|core dumped",
    ),
    _shape(
        "a compiler or a linter",
        r"^\S{1,300}\.\w{1,6}[:(]\d+[:,]\d+\)?:? .{0,40}(?:error|warning|note)\b",
        r"\berror TS\d{3,5}:|undefined reference to",
        r"^\S{1,300}\.\w{1,6}:\d+:(?:\d+:)? [A-Z]{1,4}\d{3,4} |could not compile",
        r"\b[Uu]nused (?:variable|import|function|parameter|argument)|Failed to execute goal",
        r"^(?:\w{1,20} )?[Ww]arning: |\b[A-Z]\w{0,40}Warning: |^ERROR in \./",
        r"^CMake (?:Error|Warning)\b|^\w[\w.+-]{0,30}: (?:fatal )?(?:error|warning|note): "
        r"(?!\d{3}\b)",
        r"^(?:gcc|g\+\+|clang|ld|cc|tsc|rustc|javac|go|eslint|mypy|ruff): ",
        r"^\s{0,8}\d+:\d+ {1,8}(?:error|warning) ",
    ),
    _shape(
        "a build or a package tool",
        r"^(?:make(?:\[\d+\])?|ninja|cmake|gmake): |^npm (?:ERR!|error|WARN|warn) ",
        r"^(?:E|W|Err):\d? ",
        r"^(?:yarn|pnpm|pip3?|cargo|gradle|mvn|poetry|uv|brew|apt(?:-get)?|dpkg|bundler|gem): ",
        r"^ERROR: (?:Could not (?:find|install)|No matching|Failed building|Cannot install"
        r"|Command)",
        r"\b(?:pypi|pythonhosted|npmjs|yarnpkg)\b|\bregistry(?:-\d)?\.(?!ollama)[\w-]{1,40}\."
        r"|\b(?:index\.crates|proxy\.golang|deb\.debian|pip\._vendor)\b",
    ),
    _shape(
        "a shell or a command of the system",
        r"^(?:bash|sh|zsh|dash|fish|grep|rg|sed|awk|find|ls|cat|cp|mv|rm|mkdir|cd|tar|chmod"
        r"|chown|ssh\w{0,30}|scp|sftp|rsync|sudo|docker|kubectl|helm|terraform|psql|pg_dump"
        r"|mysql|mongod|redis-\w{1,8}|systemctl|systemd|node|java|ruby|perl|php|wget|ping|telnet"
        r"|dig|nslookup|nc|git|gh|hg|svn|aws|gcloud|az|ansible|vagrant|nginx|openssl|gpg|unzip"
        r"|zip|gzip|jq|xargs|diff|patch|sort|mount|df|du|ln|kill|strace|gdb|ffmpeg|npx|bun|deno"
        r"|vite|rake|rails|bundle|composer|dotnet|bazel|sbt|flutter|swift|cron|python3?"
        r"|\S{1,80}\.(?:sh|py|bash)): ",
        r"command not found|^(?:[\w.-]{1,40}@\S{1,80})?[$#+] \S|^[Uu]sage: ",
        r"\b(?:unknown|unrecognized|invalid) (?:option|flag|command|switch)\b",
        r"^/\S{1,80}: line \d+: |^Killed$|[Nn]o such file or directory",
        r"^(?:docker|kubectl|helm|terraform|npm|pnpm|yarn|pip|cargo) \S|^curl -",
        r"/\S{0,200}:? [Pp]ermission denied|[Pp]ermission denied:? ['\"(]?[~./]|^[Pp]ermission"
        r" denied \(publickey|kex_exchange",
    ),
    _shape(
        "a result of an agent's own tools",
        r"\b(?:logged|log) ?in to (?:npm|[Dd]ocker|[Hh]eroku|[Vv]ercel|[Nn]etlify)\b",
        r"^No matches found\b|^InputValidationError\b|^(?:old_)?[Ss]tring to replace\b|^<system>"
        r"|^Exit code \d|^File has (?:not )?been (?:modified|read)|^Hook \w"
        r"|^Unhandled [Pp]romise [Rr]ejection\b",
    ),
    _shape(
        "a child process that failed",
        r"non-zero exit (?:status|code)",
        r"\b[Cc]ommand ['\"\[`(].{1,400}(?:timed out|failed|died|exited)",
        r"^(?:[Cc]ommand|[Pp]rocess|[Ss]cript|[Jj]ob|[Tt]ask"
        r"|[Bb]uild)\b.{0,80}\bexit(?:ed)?\b.{0,16}\d",
        r"^Command failed\b|\bTimeoutExpired\b|\bCalledProcessError\b",
    ),
    _shape(
        "version control or a patch",
        r"^-\s.{0,200}\n\+\s",
        r"^fatal: ",
        r"^error: (?:failed to push|pathspec|Your local changes|RPC failed|could not apply)",
        r"\b\d+ files? changed|^diff --git |^@@ -\d+|^(?:\+\+\+|---) [ab]/|^CONFLICT \(",
        r"^Patch failed |^Applying: |^On branch |^nothing to commit|[Mm]erge conflict|^commit"
        r" [0-9a-f]{7,40}$|^remote: ",
        r"\bgit (?:push|pull|fetch|clone|commit|rebase)\b",
    ),
    _shape(
        "an access log, or that of a server of the work's own",
        r"\d#\d{1,8}: \*\d|^(?:ERROR|CRITICAL|WARNING|INFO|DEBUG):[\w.]{1,80}:",
        r"\"(?:GET|POST|PUT|DELETE|PATCH|HEAD|OPTIONS) \S{1,400} HTTP/\d(?:\.\d)?\" \d{3}\b",
        r"^(?:GET|POST|PUT|DELETE|PATCH|HEAD|OPTIONS) /\S{0,400} \d{3}\b",
    ),
    _shape(
        "a database, a browser or another service that the work uses",
        r"\b(?:elasticsearch|opensearch\w{0,3}|elastic_transport|cassandra|influxdb|minio|zookeeper"
        r"|etcd"
        r"|consul|memcache|amqp|ldap3?|imaplib|ftplib|poplib|smtplib|telnetlib|pyodbc|oracledb"
        r"|snowflake"
        r"|duckdb|neo4j|stripe|twilio|boto3)\.[.\w]{0,80}",
        r"when calling the (?:(?:Put|Get|Head|List|Delete|Copy)(?:Object|Bucket)\w{0,10}|List"
        r"(?:Buckets"
        r"|Objects\w{0,4})|CreateBucket|Describe\w{1,40}|RunInstances|(?:Get|Put|Update|Delete)Item"
        r"|Query|Scan|SendMessage\w{0,6}|ReceiveMessage|Publish|GetSecretValue"
        r"|GetParameters?\w{0,8})"
        r" operation",
        r"\b(?:ActiveRecord|PG|Mysql2|Redis|Net)::\w|^ERROR \d{4} \(|pull rate limit",
        r"\b(?:psycopg2?|sqlalchemy|sqlite3|pymongo|pymysql|MySQLdb|asyncpg|redis|celery|kafka"
        r"|pika|selenium|playwright|puppeteer|paramiko|smtplib|docker)\.[.\w]{0,80}(?:Error"
        r"|Exception|Timeout|Refused|Expired)\b",
        r"\b(?:Sequelize|Prisma|Mongo|Redis|Sql|PG|Postgres|MySQL)\w{0,40}(?:Error|Exception)\b",
        r"password authentication failed|\bto server at \"|statement timeout",
        r"[Ll]ock wait timeout|deadlock detected|database is locked|[Nn]avigation timeout",
        r"[Uu]nable to (?:find|locate) (?:an? )?(?:\w{1,12} )?(?:element|selector|locator|node)"
        r"|^Table '.{1,80}' doesn't"
        r"|'[\w.]{1,60}', (?:5432|3306|6379|27017|1433|5672|9092|9200)\b|^Docker Hub\b",
        r"^(?:ldap|SMTP|S?FTP|IMAP|POP3|Selenium|Cypress|Playwright|Puppeteer|JDBC|ODBC|MQTT|AMQP"
        r"|Redis|Kafka|Postgres\w{0,6}|MySQL|Mongo\w{0,4}|Elasticsearch|Cassandra|NFS)(?:: | \d{3}"
        r" )",
        r"Content Security Policy|\bCORS\b|^(?:vault|consul|nomad|[a-z]{2,20}-cli): ",
        r"waiting for (?:selector|locator)|\b(?:page|locator|browser|frame)\.\w{1,40}: ",
        r"(?::|\bport )(?:5432|3306|6379|27017|1433|5672|9092|9200)\b",
    ),
    _shape(
        "the operating system's refusal of a file, a port or memory",
        r"\[Errno (?:1|2|9|12|13|17|20|21|22|23|24|27|28|30|36|39|98|122)\]",
        r"\b(?:ENOENT|EACCES|EEXIST|ENOSPC|EADDRINUSE|EISDIR|ENOTDIR|EPERM|EMFILE|ENFILE|EROFS"
        r"|ENOTEMPTY|EBUSY|ENOMEM)\b",
        r"[Dd]isk quota exceeded|[Nn]o space left on device|[Aa]ddress already in use|heap out of"
        r" memory",
    ),
)

UNLESS_TRUSTED: Final[tuple[Shape, ...]] = (
    _shape(
        "a programming error",
        r"^(?:\w{1,60}\.){0,6}(?:Key|Value|Attribute|Index|Name|Import|ModuleNotFound"
        r"|ZeroDivision|FileNotFound|FileExists|NotADirectory|IsADirectory|Permission"
        r"|Unicode\w{0,12}|Recursion|NotImplemented|Indentation|UnboundLocal|Lookup|Overflow"
        r"|Memory|Reference|Range|Tab|Arithmetic|TemplateSyntax|NullPointer|ClassCast"
        r"|IllegalArgument|IllegalState|ArrayIndexOutOfBounds)(?:Error|Exception)\b",
        r"^SyntaxError: (?:invalid|unmatched|unterminated string literal|EOL|[Mm]issing|'"
        r"|Identifier|Cannot|await|Invalid)",
        r"^TypeError: (?!fetch failed|terminated|[Ff]ailed to fetch|[Nn]etwork|[Ll]oad failed"
        r"|Invalid response body|[Bb]ody)",
        r"\bUncaught (?:Reference|Type|Range)Error\b|\bCannot read propert(?:y|ies) of",
        r"\b[Cc]annot find (?:module|name|package|type|symbol)\b|\bNo module named\b"
        r"|\bundefined (?:method|local variable)|\((?:NoMethod|Name|Argument|Standard)Error\)",
    ),
    _shape(
        "a traceback or a stack",
        r"\bjavax?\.\w{1,20}\.[\w.]{0,60}(?:Exception|Error)\b",
        r"Traceback \(most recent call last\)|^ {0,12}File \".{1,400}\", line \d+",
        r"^ {1,8}at .{0,400}[:(]\S{0,200}:\d+\)?$|^\s{1,8}at [\w.$<>]{1,200}\(",
        r"^Exception in thread ",
    ),
    _shape(
        "a log",
        r"^(?:\S{1,40} ){0,3}[\[(<]?(?:INFO|DEBUG|TRACE|NOTICE)[\])>]?[ :|-]",
        r"^[\[(]?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\S{1,20} .{0,40}\bWARN(?:ING)?\b",
        r"^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S{1,80} \S{1,80}: ",
        r"^\[\d{4}-\d\d-\d\d[T ][\d:.,Z+-]{5,24}\] [\w-]{1,40}\.[A-Z]{4,9}: ",
        r"^[a-z][\w.-]{1,40} +\| |^(?:django|werkzeug|flask|tornado|bottle|rest_framework)\.\w",
        r"\[(?:info|debug|trace|warn|warning)\]|\blevel=(?:info|debug|warn)",
        r"\"level\": ?\"(?:info|debug|warn)|(?:^[\[(]?\d{4}-\d\d-\d\d[T ]\d\d:\d\d.{0,400}\n){2}",
    ),
    _shape(
        "another service's error, passed on by the work",
        r"\b(?:Stripe|PayPal|Braintree|Twilio|SendGrid|Mailgun|Shopify|Salesforce|Zendesk|Datadog"
        r"|Sentry"
        r"|Jira|Confluence|Bitbucket|Slack|Telegram|Discord|Firebase|Supabase|Algolia)\b.{0,20}"
        r"(?:return|respon|answer|said|error|fail|API|webhook|request|rate)",
    ),
    _shape(
        "source or configuration",
        r"```|^(?:def|class|import|const|let|var|function|async|export|elif|func|fn|impl) \S",
        r"^from [\w.]{1,80} import |^(?:SELECT|INSERT|UPDATE|CREATE|ALTER|DELETE FROM) \S",
        r"\A\s{0,20}[\w.-]{0,40}(?:timeout|limit|port|retries|retry|delay|interval|max|min"
        r"|TIMEOUT|LIMIT|PORT|RETRIES"
        r"|MAX)\w{0,40}\s{0,4}[:=]\s{0,4}[\"']?\d+\w{0,8}[\"']?[,;]?\s{0,4}\Z",
        r"\A[A-Z][A-Z0-9_]{2,60}=\S|^\s{0,12}(?:port|retries|replicas|workers|image): \S{1,60}$",
        r"\A(?!status|code|error|finish|stop|block|type|http|.{0,30}[rR]eason)[\w.\[\]'\"]{1,80}"
        r" ?=+ ?\S{1,80}(?:, "
        r"?\w{1,40}=\S{1,80}){0,8}\Z",
        r";$\n.{0,200};$|\A\w[\w ]{0,80};\s{0,4}\Z|\Areturn \S{1,40}\Z",
        r"^\s{0,20}(?:if|for|while|switch|catch|except)\b.{1,200}[:{]$|=> ?\{",
        r"\A\s{0,20}(?!.{0,30}[Rr]eason)[A-Za-z_][\w.]{0,60} = [\[{(\"']",
        r"^\s{0,20}(?:log|logger|logging|console|print|printf|fmt|System\.out)(?:\.\w{1,20})?\(",
        r"^\s{0,20}(?:if|while|for|switch) ?\(.{1,200};| (?:===?|!==?|&&|\|\|) \S",
        r"\A\s{0,20}(?:\"\"\"|'''|//|/\*)|\A\s{0,20}(?:return|raise|yield|await) [^\s(]{1,80}\(",
        r"\A\s{0,20}(?:self|this)\.\w",
        r"\bset(?:Timeout|Interval)\(|\bnew Error\(|\A<(?:\?xml|testsuites?|project)\b",
        r"\b(?:raise|throw new|throw|except|catch) ?\(?[A-Z]\w{0,60}(?:Error|Exception)\b",
    ),
    _shape(
        "prose",
        rf"\A\W{{0,4}}(?:{_either(_OPENINGS)})(?!\w)",
        r"\A\W{0,4}We've (?:\w{1,12} )?(?:agreed|decided|added|fixed|planned|discussed|moved"
        r"|changed)\b",
        rf"\A\W{{0,4}}(?:{_either(_DEEDS)})\b(?! (?:{_either(_NOT_DONE)}))",
        rf"\A\W{{0,4}}(?:In this|The (?:\w{{1,24}} ){{0,2}}(?:{_either(_WORKS)})"
        rf"|This (?:{_either(_WORKS)})|Your (?:{_either(_WORKS)})|We (?:{_either(_PLANS)})(?!'t|"
        rf" not)\b"
        r"|If (?:the|a|an|we|any)|This (?:table|list|article|chapter|paragraph|sentence)|Our "
        r"(?!servers?|systems?|service|model|api|infra)\w{1,20}"
        r"|Please (?:review|see|note|update|add|fix|merge|check the)"
        r"|The user (?:asked|wants|reported|said|is asking|requested)"
        r"|(?:Chapter|Section|Figure|Appendix) \d{1,4})\b",
    ),
    _shape(
        "prose about others",
        r"\b(?:[Tt]he|[Oo]ur|[Aa]|[Ss]ome|[Tt]hese|[Nn]ew|paying) (?:customers?(?! (?:service"
        r"|support|success))"
        r"|visitors|clients"
        r"|buyers|students|colleagues?|boss)\b|\b(?:from|by) (?:my )?boss\b",
        r"\b(?:during|in|while running) (?:the |a )?tests?\b|\b(?:TODO|FIXME)\b",
    ),
    _shape(
        "a mention of source files",
        r"(?<![\w@:-])(?!(?:[Nn]ode|[Nn]ext|[Vv]ue)\.js|_ssl\.c)[\w-]{1,80}\.(?:py|pyi|js|jsx"
        r"|mjs|cjs|ts|tsx|go|rs|java|kt|rb|php|c|cc|cpp|h|hpp|cs|swift|scala|sh|sql|md|rst|txt"
        r"|csv|json|ya?ml|toml|ini|cfg|conf|lock|log|html|css|vue|ipynb|tf|cmake)(?![\w-]|\.\w)",
    ),
    _shape(
        "a count of things, a heading or a list",
        r"\A\W{0,4}\d{1,9} (?:\w{1,20} ){0,2}(?:files?|tests?|items?|rows?|records?|lines?"
        r"|errors|users?|invoices?|orders?|packages?|warnings|results?|entries|commits?)\b",
        r"^[-*] \[[ xX]\] |^\|.{1,200}\|\s{0,4}$|\A<(?!html|HTML|!|head|title|body|center|h1|pre"
        r"|p>|Error|\?xml)[a-z]{1,12}(?:>| [a-z-]{1,20}=)",
        r"\A[Ss]tack ?[Oo]verflow\b|\A[Ee]xit \d{1,3}\b",
        r"\A#{1,6} \S|\A(?:[Ll]ine|[Pp]age|[Ii]ssue|[Pp]ort|PR|[Tt]icket|[Bb]ug) #?\d{1,6}\b",
        r"\A\s{0,8}\Z|\b(?:pytest|jest|vitest|mocha|unittest|rspec|junit|cypress|webpack)\b",
        r"\A(?:[-*\u2022] .{1,400}(?:\n|\Z)){2}|\A\W{0,8}status(?: code)?:? 200\b",
    ),
)

_SDK_NAME: Final = re.compile(
    r"\b(?:openai|anthropic|litellm|cohere|mistralai|groq|together|fireworks|botocore|ollama"
    r"|xai_sdk|cerebras|huggingface_hub|text_generation|vertexai|replicate|langchain\w{0,20}"
    r"|pydantic_ai|google|openrouter|deepseek|dashscope|zhipuai)(?:\.\w{1,60}){1,8}"
)
_ERROR_NAMES: Final = (
    "Error",
    "Exception",
    "Timeout",
    "ResourceExhausted",
    "ServiceUnavailable",
    "DeadlineExceeded",
    "InvalidArgument",
    "TooManyRequests",
    "PermissionDenied",
    "Unauthenticated",
    "Unauthorized",
    "Forbidden",
    "NotFound",
    "BadRequest",
)
_PROVIDER: Final = re.compile(
    r"(?:site-packages|dist-packages|node_modules)[/\\](?:openai|anthropic|@anthropic-ai|litellm"
    r"|cohere|@?mistralai|groq|together|google[/\\]genai|google[/\\]api_core|@google[/\\]gen"
    r"|@google-cloud|botocore|@aws-sdk|ollama|@ai-sdk|ai[/\\]dist|@openrouter|xai_sdk"
    r"|huggingface_hub)"
    r"|\b[A-Z]{3,20}_API_KEY\b|\$bunfs/root/claude|\bAI_\w{1,40}Error\b|\bAPICallError\b"
    r"|An error occurred \(\w{1,80}\) when calling the (?:Invoke|Converse)"
    r"|[{,]\s{0,4}\\{0,3}[\"']type\\{0,3}[\"']\s{0,2}:\s{0,2}\\{0,3}[\"']error"
    r"|\{\s{0,4}\\{0,3}[\"']error\\{0,3}[\"']\s{0,2}:|\bError code: \d{3} - "
    r"|\b(?:api\.(?:openai|anthropic|mistral|cohere|groq|together|fireworks|deepseek|x|z|moonshot)"
    r"\.(?:com|ai|xyz|cn)|openrouter\.ai|generativelanguage\.googleapis|aiplatform\.googleapis"
    r"|openai\.azure\.com|bedrock-runtime|platform\.openai\.com)\b"
    r"|\A\W{0,4}(?:\d{3} )?<(?:!doctype|!DOCTYPE|html|HTML|head)\b"
    r"|\A\W{0,8}(?:Error: |Uncaught )?(?:API [Ee]rror|LLM (?:provider )?error|AxiosError"
    r"|\w{0,20}APIError)\b"
    r"|\A(?:\w{0,20}Error: )?(?:\d{3} (?:status code|[{\"'])|fetch failed|terminated$"
    r"|Connection error\.|Request timed out\.|read ECONN|connect E|getaddrinfo |socket hang up"
    r"|Premature close)"
    r"|\A(?:ValueError: )?Error (?:raised by|from (?:provider|model|LLM))"
    r"|\AValueError: (?:Requested tokens|Model \S{1,80} |.{0,80}(?:context (?:window|length)"
    r"|[Aa][Pp][Ii].?[Kk][Ee][Yy])|.{0,400}finish_reason)",
    re.MULTILINE,
)
_TRACEBACK: Final = re.compile(r"Traceback \(most recent call last\)|^ {2,12}File \"", re.MULTILINE)
_RAISED: Final = re.compile(r"^((?:\w{1,60}\.){0,8}\w{1,60})(?::|$)", re.MULTILINE)
# Data that has no key in which an error would be told is somebody's result.
_ERROR_KEY: Final = re.compile(
    r"[\"']name[\"']\s{0,4}:\s{0,4}[\"']\w{1,80}(?:Exception|Error)[\"']|[\"'](?:err|errors?"
    r"|\w{0,20}[_-]?(?:error|message|code|status|type|reason)|msg|details?|fault"
    r"|exception|Message|errorMessage|errorType|statusCode|__type)\\{0,3}[\"']\s{0,4}:"
)
_URL: Final = re.compile(r"https?://\S{1,2000}")


def sift(text: str) -> str:
    """Return what of ``text`` may speak of a provider: all, a traceback's last error, or ``""``."""
    bare = _URL.sub(" ", text)
    if any(shape.pattern.search(bare) for shape in CERTAIN):
        return ""
    if not _is_trusted(text) and (
        any(shape.pattern.search(bare) for shape in UNLESS_TRUSTED)
        or (_is_data(bare.strip()) and _ERROR_KEY.search(bare) is None)
    ):
        return ""
    if _TRACEBACK.search(text) is None:
        return text
    # The frames quote source that names other errors: only what was raised last counts.
    raised = [m for m in _RAISED.finditer(text) if m.group(1).endswith(_ERROR_NAMES)]
    return text[raised[-1].start() :] if raised else text


def _is_data(text: str) -> bool:
    """Tell whether ``text`` is one JSON object or a list of them."""
    return (text.startswith("{") and text.endswith("}")) or text.startswith("[{")


def _is_trusted(text: str) -> bool:
    """Tell whether ``text`` bears the mark of a provider or of its client library."""
    if _PROVIDER.search(text) is not None:
        return True
    return any(name.endswith(_ERROR_NAMES) for name in _SDK_NAME.findall(text))
