"""Texts that are no provider's error, however many of its words they contain.

An agent's failure text may be a tool's own traceback, a test run, a compiler's complaint, a log or
plain prose. These have shapes of their own. Each shape yields to the mark of a provider (its SDK's
class or path, its error envelope), because clients do print tracebacks of provider errors. A shape
that merely *carries* a message (a log, a stack, the name of a file) yields to the words of models
as well: of a stack below "prompt is too long" only the frames are somebody else's.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Mark = Literal["sdk", "provider", "words", "nothing"]
"""To what a shape yields, the strongest first; each includes those before it."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """One shape of text that does not come from a provider.

    ``text`` are regular expressions, one of which is found in the text, case and lines as they
    are. It ``yields`` to a mark of a provider in the same text. ``example`` is a text of the shape.
    """

    name: str
    why: str
    text: tuple[str, ...]
    yields: Mark = "sdk"
    example: str


def _shape(name: str, why: str, *text: str, example: str, yields: Mark = "sdk") -> Shape:
    return Shape(name=name, why=why, text=text, example=example, yields=yields)


def _either(words: str) -> str:
    """Return a pattern that is any of ``words``, which stand one after the other."""
    return "|".join(words.replace("_", " ").split(","))


# What people and agents open a report of their work with, and providers do not.
_OPENINGS: Final = (
    "I(?!'m_sorry|_(?:can't|cannot)_(?:help|assist)),I've,Let,Let's,Now,Next,Then,First,Finally,Here,He,She,They,These,Those,My,How"
    ",What,Why,When,Where,Who,Which,Should,Does,Do,Is,Are,Remember,Note:,Can_you,Could_you,Would_you"
    ",Returns:,Raises:,Args:,Parameters:,Question,Background,Context:,README"
    ",Maybe,Perhaps,Users,Customers,People,Someone,Nobody,Everyone,Comment,Mail,Email,CHANGELOG"
    ",Sprint,Roadmap,Agenda,Meeting,Story,User_story,Status_codes,HTTP_status_codes,TODO,FIXME"
    ",NOTE,HACK,XXX,Summary,Done,Finished,Completed"
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

SHAPES: Final[tuple[Shape, ...]] = (
    _shape(
        "python_tests",
        "a Python test run",
        r"^E {2,20}\S|^={3,}.{0,80}={3,}$|^(?:FAILED|PASSED|ERROR) \S+\.py\b|\.py::\w",
        r"\b\d+ (?:passed|failed|skipped|error)\b.{0,40} in \d|^(?:FAIL|ERROR): test",
        r"\btest_\w{1,80} \(|\bAssertionError\b",
        example="E           TimeoutError: timed out",
    ),
    _shape(
        "javascript_tests",
        "a JavaScript test run",
        r"^\s{0,8}\d{1,4}\) \S.{0,200}\n|^\s{0,8}>?\s{0,8}\d{1,6} \| ",
        r"^\s{0,8}\u25cf .{1,200} \u203a |^\s{0,8}[\u2715\u2717\u00d7] .{1,200}\(\d{1,6} ?m?s\)$"
        r"|^Tests?:? {1,8}\d+ (?:failed|passed)|\bexpect\(",
        r"^\s{0,8}(?:FAIL|PASS) {1,4}\S|\bdone\(\)|[Aa]sync callback|[Tt]est timed out",
        r"[Ee]xceeded timeout of \d+ ?ms for a (?:test|hook)",
        example='thrown: "Exceeded timeout of 5000 ms for a test."',
    ),
    _shape(
        "assertion",
        "an assertion",
        r"\b[Aa]ssert(?:ion failed\b|(?:ed|s)? \S{1,80} (?:==|!=|<|>|is|in|not) )",
        r"\b[Ee]xpected:?\s.{0,40}\b[245]\d\d\b.{0,60}\b[245]\d\d\b",
        r"\b[Ee]xpected.{0,30}\b(?:status|response) code\b",
        r"\b[1-5]\d\d (?:==|!=|===|!==) [1-5]\d\d\b|\bTests run: \d|\bbut was: <",
        r"\b[Ee]xpected .{1,80} to (?:equal|deep|match snapshot|throw)\b",
        example="assert 'insufficient_quota' in str(err)",
    ),
    _shape(
        "go_or_rust_tests",
        "a Go or Rust test or a crash report",
        r"^running \d{1,6} tests?$|^test \S{1,200} \.\.\. |^failures:$"
        "|test failed, to rerun",
        r"^\s{0,8}--- (?:FAIL|PASS|SKIP):|^(?:FAIL|ok)\t|^panic: |\bgoroutine \d+ \[",
        r"error\[E\d{4}\]|^ {0,8}--> \S{1,200}:\d+:\d+|^thread '.{1,80}' panicked",
        "[Ss]egmentation fault|core dumped",
        example="error[E0425]: cannot find value `rate_limit` in this scope",
    ),
    _shape(
        "compiler",
        "a compiler or a linter",
        r"\b(?:error|warning) (?:NU|CS|MSB|NETSDK|CA|BC|FS)\d{4}\b|\bBuild timed out\b",
        r"^\S{1,300}\.\w{1,6}[:(]\d+[:,]\d+\)?:? .{0,40}(?:error|warning|note)\b",
        r"\berror TS\d{3,5}:|undefined reference to",
        r"^\S{1,300}\.\w{1,6}:\d+:(?:\d+:)? [A-Z]{1,4}\d{3,4} |could not compile",
        r"\b[Uu]nused (?:variable|import|function|parameter|argument)"
        "|Failed to execute goal",
        r"^(?:\w{1,20} )?[Ww]arning: |\b[A-Z]\w{0,40}Warning: |^ERROR in \./",
        r"^CMake (?:Error|Warning)\b|^\w[\w.+-]{0,30}: (?:fatal )?(?:error|warning"
        r"|note): (?!\d{3}\b)",
        r"^(?:gcc|g\+\+|clang|ld|cc|tsc|rustc|javac|go|eslint|mypy|ruff): ",
        r"^\s{0,8}\d+:\d+ {1,8}(?:error|warning) ",
        example="warning: Git LFS: quota exceeded",
    ),
    _shape(
        "build_tool",
        "a build or a package tool",
        r"^(?:make(?:\[\d+\])?|ninja|cmake|gmake): |^npm (?:ERR!|error|WARN|warn) ",
        r"^(?:E|W|Err):\d? |^\s{0,20}> Could not |\.(?:pom|jar)\b|^Execution failed for task",
        "^(?:yarn|pnpm|pip3?|cargo|gradle|mvn|poetry|uv|brew|apt(?:-get)?|dpkg|bundler|gem): ",
        r"^error: failed to (?:fetch|get|download|compile|select|run custom|load manifest)\b"
        "|^ERROR: (?:Could not (?:find|install)|No matching|Failed building|Cannot install"
        "|Command)",
        r"\b(?:pypi|pythonhosted|npmjs|yarnpkg)\b|\borg\.(?:gradle|apache\.maven)\."
        r"|\bregistry(?:-\d)?\.(?!ollama)[\w-]{1,40}\.|\b(?:index\.crates|proxy\.golang"
        r"|deb\.debian|pip\._vendor)\b",
        example="npm ERR! 429 Too Many Requests - GET https://npm.example.com/left-pad",
    ),
    _shape(
        "shell",
        "a shell or a command of the system",
        "^(?:bash|sh|zsh|dash|fish|grep|rg|sed|awk|find|ls|cat|cp|mv|rm|mkdir|cd|tar"
        r"|chmod|chown|ssh\w{0,30}|scp|sftp|rsync|sudo|docker|kubectl|helm|terraform|psql"
        r"|pg_dump|mysql|mongod|redis-\w{1,8}|systemctl|systemd|node|java|ruby|perl|php"
        "|wget|ping|telnet|dig|nslookup|nc|git|gh|hg|svn|aws|gcloud|az|ansible|vagrant"
        "|nginx|openssl|gpg|unzip|zip|gzip|jq|xargs|diff|patch|sort|mount|df|du|ln|kill"
        "|strace|gdb|ffmpeg|npx|bun|deno|vite|rake|rails|bundle|composer|dotnet|bazel|sbt"
        r"|flutter|swift|cron|python3?|\S{1,80}\.(?:sh|py|bash)): ",
        r"^(?:az|gcloud|heroku|vercel|netlify|fly|flyctl|wrangler|firebase|adb|xcodebuild|pod"
        r"|certbot|traefik|prometheus|supabase|railway|eas|expo|cdk|pulumi|serverless|minikube"
        r"|podman|choco|winget|scoop|msbuild|nuget|dotnet|sbt|scrapy|yfinance)"
        r"(?:[ .][\w.-]{1,30}){0,3} ?: |^ERROR: \((?:gcloud|az)\b|^Invoke-\w{1,40} ?: "
        r"|^At line:\d+ char:\d+|^PS [A-Z]:\\|What went wrong:|\bThe install of \S{1,80} was NOT",
        r"command not found|^(?:[\w.-]{1,40}@\S{1,80})?[$#+] \S|^[Uu]sage: ",
        r"\b(?:unknown|unrecognized|invalid) (?:option|flag|command|switch)\b",
        r"^/\S{1,80}: line \d+: |^Killed$|[Nn]o such file or directory",
        r"^(?:docker|kubectl|helm|terraform|npm|pnpm|yarn|pip|cargo) \S|^curl -",
        r"/\S{0,200}:? [Pp]ermission denied|[Pp]ermission denied:? ['\"(]?[~./]"
        r"|^[Pp]ermission denied \(publickey|kex_exchange",
        example="ssh: connect to host build-7 port 22: Connection timed out",
    ),
    _shape(
        "agent_tool",
        "a result of an agent's own tools",
        r"\b(?:logged|log) ?in to (?:npm|[Dd]ocker|[Hh]eroku|[Vv]ercel|[Nn]etlify)\b",
        r"^No matches found\b|^InputValidationError\b|^(?:old_)?[Ss]tring to replace\b"
        r"|^<system>|^Exit code \d|^File has (?:not )?been (?:modified|read)|^Hook \w"
        r"|^Unhandled [Pp]romise [Rr]ejection\b",
        example="No matches found for pattern 'insufficient_quota'",
    ),
    _shape(
        "child_process",
        "a child process that failed",
        "non-zero exit (?:status|code)",
        r"\b[Cc]ommand ['\"\[`(].{1,400}(?:timed out|failed|died|exited)",
        "^(?:[Cc]ommand|[Pp]rocess|[Ss]cript|[Jj]ob|[Tt]ask"
        r"|[Bb]uild)\b.{0,80}\bexit(?:ed)?\b.{0,16}\d",
        r"^Command failed\b|\bTimeoutExpired\b|\bCalledProcessError\b",
        example="Command 'fetch-data' timed out after 30 seconds",
    ),
    _shape(
        "version_control",
        "version control or a patch",
        r"^-\s.{0,200}\n\+\s",
        "^fatal: ",
        "^error: (?:failed to push|pathspec|Your local changes|RPC failed|could not apply)",
        r"\b\d+ files? changed|^diff --git |^@@ -\d+|^(?:\+\+\+|---) [ab]/|^CONFLICT \(",
        "^Patch failed |^Applying: |^On branch |^nothing to commit|[Mm]erge conflict"
        "|^commit [0-9a-f]{7,40}$|^remote: ",
        r"\bgit (?:push|pull|fetch|clone|commit|rebase)\b",
        example="@@ -429,7 +429,7 @@ class RateLimiter:",
    ),
    _shape(
        "access_log",
        "an access log, or that of a server of the work's own",
        r"\d#\d{1,8}: \*\d|\bAH\d{5}\b|\[\w{1,20}:(?:error|notice)\] ",
        r"\"(?:GET|POST|PUT|DELETE|PATCH|HEAD"
        r"|OPTIONS) \S{1,400} HTTP/\d(?:\.\d)?\" \d{3}\b",
        r"^(?:GET|POST|PUT|DELETE|PATCH|HEAD|OPTIONS) /\S{0,400} \d{3}\b",
        example='192.168.1.5 - - [10/Oct/2026:13:55:36] "POST /v1/charge HTTP/1.1" 429 512',
    ),
    _shape(
        "other_service",
        "a database, a browser or another service that the work uses",
        r"\b(?:elasticsearch|opensearch\w{0,3}|elastic_transport|cassandra|influxdb|minio"
        "|zookeeper|etcd|consul|memcache|amqp|ldap3?|imaplib|ftplib|poplib|smtplib"
        "|telnetlib|pyodbc|oracledb|snowflake|duckdb|neo4j|stripe|twilio"
        r"|boto3|tweepy|praw|prawcore|discord|geopy|googleapiclient|slack_sdk|gspread"
        r"|jira|telegram|scrapy|sendgrid|notion_client|shopify|firebase\w{0,8}|google\.cloud"
        r"|yfinance|spotipy|dropbox|zenpy|atlassian|ldap|kubernetes)\.[.\w]{0,80}",
        r"\bP[12]0\d\d: |\bdatabase server\b|\bcom\.google\.(?:firebase|cloud)\.",
        r"when calling the (?!Invoke|Converse|Retrieve|CountTokens|ApplyGuard)\w{1,60} operation",
        r"\b(?:ActiveRecord|PG|Mysql2|Redis|Net|Github|Octokit)::\w|^ERROR \d{4} \("
        "|pull rate limit",
        r"\b(?:psycopg2?|sqlalchemy|sqlite3|pymongo|pymysql|MySQLdb|asyncpg|redis|celery"
        "|kafka|pika|selenium|playwright|puppeteer|paramiko|smtplib"
        r"|docker)\.[.\w]{0,80}(?:Error|Exception|Timeout|Refused|Expired)\b",
        r"\b(?:Sequelize|Prisma|Mongo|Redis|Sql|PG|Postgres|MySQL)\w{0,40}(?:Error"
        r"|Exception)\b",
        r"password authentication failed|\bto server at \"|statement timeout",
        "[Ll]ock wait timeout|deadlock detected|database is locked|[Nn]avigation timeout",
        r"[Uu]nable to (?:find|locate) (?:an? )?(?:\w{1,12} )?(?:element|selector|locator"
        r"|node)|^Table '.{1,80}' doesn't|'[\w.]{1,60}', (?:5432|3306|6379|27017|1433|5672"
        r"|9092|9200)\b|^Docker Hub\b",
        "^(?:ldap|SMTP|S?FTP|IMAP|POP3|Selenium|Cypress|Playwright|Puppeteer|JDBC|ODBC"
        r"|MQTT|AMQP|Redis|Kafka|Postgres\w{0,6}|MySQL|Mongo\w{0,4}|Elasticsearch"
        r"|Cassandra|NFS)(?:: | \d{3} )",
        r"\b(?:kubelet|kubernetes|helm_release)\b|kube_apiserver|\(local-exec\): |\bORA-\d{5}\b"
        r"|\b(?:ErrImage|ImagePull|CrashLoop)\w{0,8}\b|[Ff]ailed to pull image"
        r"|Content Security Policy|\bCORS\b|^(?:vault|consul|nomad|[a-z]{2,20}-cli): ",
        r"waiting for (?:selector|locator)|\b(?:page|locator|browser|frame)\.\w{1,40}: ",
        r"(?::|\bport )(?:5432|3306|6379|27017|1433|5672|9092|9200)\b",
        example="Selenium: invalid session id",
    ),
    _shape(
        "system_refusal",
        "the operating system's refusal of a file, a port or memory",
        r"\[Errno (?:1|2|9|12|13|17|20|21|22|23|24|27|28|30|36|39|98|122)\]",
        r"\b(?:ENOENT|EACCES|EEXIST|ENOSPC|EADDRINUSE|EISDIR|ENOTDIR|EPERM|EMFILE|ENFILE"
        r"|EROFS|ENOTEMPTY|EBUSY|ENOMEM)\b",
        "[Dd]isk quota exceeded|[Nn]o space left on device|[Aa]ddress already in use"
        "|heap out of memory",
        example="OSError: [Errno 122] Disk quota exceeded: '/data'",
    ),
    _shape(
        "programming_error",
        "a programming error",
        r"^(?:\w{1,60}\.){0,6}(?:Key|Value|Attribute|Index|Name|Import|ModuleNotFound"
        "|ZeroDivision|FileNotFound|FileExists|NotADirectory|IsADirectory|Permission"
        r"|Unicode\w{0,12}|Recursion|NotImplemented|Indentation|UnboundLocal|Lookup"
        "|Overflow|Memory|Reference|Range|Tab|Arithmetic|TemplateSyntax|NullPointer"
        "|ClassCast|IllegalArgument|IllegalState|ArrayIndexOutOfBounds)(?:Error"
        r"|Exception)\b",
        "^SyntaxError: (?:invalid|unmatched|unterminated string literal|EOL|[Mm]issing|'"
        "|Identifier|Cannot|await|Invalid)",
        "^TypeError: (?!fetch failed|terminated|[Ff]ailed to fetch|[Nn]etwork"
        "|[Ll]oad failed|Invalid response body|[Bb]ody)",
        r"\b__init__\(\)|missing \d{1,2} required (?:keyword-only|positional) arguments?",
        r"unexpected keyword argument|\bobject is not (?:subscriptable|callable|iterable)\b",
        r"\bUncaught (?:Reference|Type|Range)Error\b|\bCannot read propert(?:y|ies) of",
        r"\b[Cc]annot find (?:module|name|package|type|symbol)\b|\bNo module named\b"
        r"|\bundefined (?:method|local variable)|\((?:NoMethod|Name|Argument"
        r"|Standard)Error\)",
        yields="provider",
        example="KeyError: 'rate_limit_exceeded'",
    ),
    _shape(
        "stack",
        "a traceback or a stack",
        r"\bjavax?\.\w{1,20}\.[\w.]{0,60}(?:Exception|Error)\b",
        r"Traceback \(most recent call last\)|^ {0,12}File \".{1,400}\", line \d+",
        r"^ {1,8}at .{0,400}[:(]\S{0,200}:\d+\)?$|^\s{1,8}at [\w.$<>]{1,200}\(",
        "^Exception in thread ",
        yields="words",
        example='Exception in thread "Timer-0" java.lang.IllegalStateException: billing timeout',
    ),
    _shape(
        "log_of_no_error",
        "a line of a log that is no error",
        r"^(?:WARNING|INFO|DEBUG):[\w.]{1,80}:",
        r"^(?:\S{1,40} {1,4}){0,3}[\[(<]?(?:INFO|DEBUG|TRACE|NOTICE)[\])>]?[ :|-]",
        r"\[(?:info|debug|trace)\]|\blevel=(?:info|debug)|\"level\": ?\"(?:info|debug)",
        example="10:00:01 [DEBUG] http: 429 from /v1/charges",
    ),
    _shape(
        "log",
        "a log",
        r"^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S{1,80} \S{1,80}: ",
        r"^\[\d{4}-\d\d-\d\d[T ][\d:.,Z+-]{5,24}\] [\w-]{1,40}\.[A-Z]{4,9}: ",
        r"^[\[(]?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\S{1,20} .{0,40}\bWARN(?:ING)?\b",
        r"\[warn(?:ing)?\]|\blevel=(?:warn|err|crit|fatal)|\"level\": ?\"warn",
        r"^[a-z][\w.-]{1,40} +\| |^(?:django|werkzeug|flask|tornado|bottle"
        r"|rest_framework)\.\w",
        r"^(?:ERROR|CRITICAL):[\w.]{1,80}:|(?:^[\[(]?\d{4}-\d\d-\d\d[T ]\d\d:\d\d.{0,400}\n){2}",
        yields="words",
        example="[2026-11-20 10:00:00] payments.ERROR: the gateway returned 503",
    ),
    _shape(
        "passed_on",
        "another service's error, passed on by the work",
        r"\b(?:Stripe|PayPal|Braintree|Twilio|SendGrid|Mailgun|Shopify|Salesforce|Zendesk"
        "|Datadog|Sentry|Jira|Confluence|Bitbucket|Slack|Telegram|Discord|Firebase"
        r"|Supabase|Algolia)\b.{0,20}(?:return|respon|answer|said|error|fail|API|webhook"
        "|request|rate)",
        yields="provider",
        example="Error: Stripe API rate limit exceeded for account acct_1",
    ),
    _shape(
        "source_code",
        "source or configuration",
        "```|^(?:def|class|import|const|let|var|function|async|export|elif|func|fn"
        r"|impl) \S",
        r"^from [\w.]{1,80} import |^(?:SELECT|INSERT|UPDATE|CREATE|ALTER|DELETE FROM) \S",
        r"\A\s{0,20}[\w.-]{0,40}(?:timeout|limit|port|retries|retry|delay|interval|max|min"
        "|TIMEOUT|LIMIT|PORT|RETRIES"
        r"|MAX)\w{0,40}\s{0,4}[:=]\s{0,4}[\"']?\d+\w{0,8}[\"']?[,;]?\s{0,4}\Z",
        r"\A[A-Z][A-Z0-9_]{2,60}=\S|^\s{0,12}(?:port|retries|replicas|workers"
        r"|image): \S{1,60}$",
        r"\A(?!status|code|error|finish|stop|block|type|http"
        r"|.{0,30}[rR]eason)[\w.\[\]'\"]{1,80} ?=+ ?\S{1,80}(?:, ?\w{1,40}="
        r"\S{1,80}){0,8}\Z",
        r"\A[\w.-]{1,40}:\n(?:\s{1,12}[\w.-]{1,40}: \S{1,60}\n?){1,40}\Z",
        r";$\n.{0,200};$|\A\w[\w ]{0,80};\s{0,4}\Z|\Areturn \S{1,40}\Z",
        r"^\s{0,20}(?:if|for|while|switch|catch|except)\b.{1,200}[:{]$|=> ?\{",
        r"\A\s{0,20}(?!.{0,30}[Rr]eason)[A-Za-z_][\w.]{0,60} = [\[{(\"']",
        r"^\s{0,20}(?:log|logger|logging|console|print|printf|fmt"
        r"|System\.out)(?:\.\w{1,20})?\(",
        r"^\s{0,20}(?:if|while|for|switch) ?\(.{1,200};| (?:===?|!==?|&&|\|\|) \S",
        r"\A\s{0,20}(?:\"\"\"|'''|//|/\*)|\A\s{0,20}(?:return|raise|yield"
        r"|await) [^\s(]{1,80}\(",
        r"\A\s{0,20}(?:self|this)\.\w",
        r"\bset(?:Timeout|Interval)\(|\bnew Error\(|\A<(?:\?xml|testsuites?|project)\b",
        r"\b(?:raise|throw new|throw|except|catch) ?\(?[A-Z]\w{0,60}(?:Error|Exception)\b",
        yields="provider",
        example="retried = [429, 503, too_many_requests]",
    ),
    _shape(
        "prose",
        "prose",
        rf"\A\W{{0,4}}(?:{_either(_OPENINGS)})(?!\w)",
        r"\A(?:feat|fix|chore|docs|refactor|test|perf|ci|build|style)(?:\([\w./-]{1,40}\))?!?: "
        r"|\A(?:Closes|Fixes|Resolves) #\d|\A(?:Work done|Next steps?|Question|Plan|Remaining): ",
        r"\A\W{0,4}We've (?:\w{1,12} )?(?:agreed|decided|added|fixed|planned|discussed"
        r"|moved|changed)\b",
        rf"\A\W{{0,4}}(?:{_either(_DEEDS)})\b(?! (?:{_either(_NOT_DONE)}))",
        rf"\A\W{{0,4}}(?:In this|The (?:\w{{1,24}} ){{0,2}}(?:{_either(_WORKS)})"
        rf"|This (?:{_either(_WORKS)})|Your (?:{_either(_WORKS)})"
        rf"|We (?:{_either(_PLANS)})(?!'t| not)\b|If (?:the|a|an|we|any)|This (?:table|list"
        "|article|chapter|paragraph|sentence)|Our (?!servers?|systems?|service|model|api"
        r"|infra)\w{1,20}|Please (?:review|see|note|update|add|fix|merge|check the)"
        "|The user (?:asked|wants|reported|said|is asking|requested)|(?:Chapter|Section"
        r"|Figure|Appendix) \d{1,4})\b",
        yields="provider",
        example="Fixed the rate limit exceeded error in the client",
    ),
    _shape(
        "prose_about_others",
        "prose about others",
        r"\b(?:[Tt]he|[Oo]ur|[Aa]|[Ss]ome|[Tt]hese|[Nn]ew"
        "|paying) (?:customers?(?! (?:service|support|success))|visitors|clients|buyers"
        r"|students|colleagues?|boss)\b|\b(?:from|by) (?:my )?boss\b",
        r"\b(?:during|in|while running) (?:the |a )?tests?\b|\b(?:TODO|FIXME)\b",
        yields="provider",
        example="Browser closed unexpectedly during test 'login expired'",
    ),
    _shape(
        "source_file",
        "a mention of source files",
        r"(?<![\w@:-])(?!(?:[Nn]ode|[Nn]ext|[Vv]ue)\.js|_ssl\.c)[\w-]{1,80}\.(?:py|pyi|js"
        "|jsx|mjs|cjs|ts|tsx|go|rs|java|kt|rb|php|c|cc|cpp|h|hpp|cs|swift|scala|sh|sql|md"
        "|rst|txt|csv|json|ya?ml|toml|ini|cfg|conf|lock|log|html|css|vue|ipynb|tf"
        r"|cmake)(?![\w-]|\.\w)",
        yields="words",
        example="main.go:42:5: undefined: rateLimit",
    ),
    _shape(
        "listing",
        "a count of things, a heading or a list",
        r"\A\W{0,4}\d{1,9} (?:\w{1,20} ){0,2}(?:files?|tests?|items?|rows?|records?|lines?"
        r"|errors|users?|invoices?|orders?|packages?|warnings|results?|entries|commits?)\b",
        r"^(?:Cause|Solution|Symptoms?|Fix)\b:?(?: [A-Z]|$)|^[-*] \[[ xX]\] "
        r"|^\|.{1,200}\|\s{0,4}$|\A<(?!html|HTML|!|head|title|body|center"
        r"|h1|pre|p>|Error|\?xml)[a-z]{1,12}(?:>| [a-z-]{1,20}=)",
        r"\A[Ss]tack ?[Oo]verflow\b|\A[Ee]xit \d{1,3}\b",
        r"\A#{1,6} \S|\A(?:[Ll]ine|[Pp]age|[Ii]ssue|[Pp]ort|PR|[Tt]icket"
        r"|[Bb]ug) #?\d{1,6}\b",
        r"\A\s{0,8}\Z|\bcy\.\w{2,20}\(|CypressError"
        r"|\b(?:pytest|jest|vitest|mocha|unittest|rspec|junit|cypress"
        r"|webpack)\b",
        r"\A(?:\s{0,8}[-*\u2022] .{1,400}(?:\n|\Z)){2}|\A\W{0,8}status(?: code)?:? 200\b",
        yields="provider",
        example="### Rate limit exceeded",
    ),
)
"""Every shape, in the order in which they are looked for."""

# Those that no pattern finds; ``sifting`` tells them by what most of their lines are.
DATA: Final = Shape(
    name="data",
    why="data without a key in which an error would be told",
    text=(),
    example='{"title": "rate limit exceeded", "open": true}',
)
TALK: Final = Shape(
    name="talk",
    why="people talk about errors: an issue, a review, a manual",
    text=(),
    yields="sdk",
    example="Connection errors are common here; the retry logic sleeps first.",
)
CODE: Final = Shape(
    name="code",
    why="lines of source code",
    text=(),
    yields="nothing",
    example="attempts += 1\nsleep(backoff)\nwarn(rate_limit_exceeded)\n",
)
