"""What makes a failure of which kind: an ordered table; the first rule that holds decides.

The order is the meaning. What a provider says in particular (a quota, an overflow, a refusal)
comes before the HTTP status, the status before a client's broad codes. What none of them knows is
called by what its words weigh for (``wording``): no two services phrase a failure alike.
"""

from __future__ import annotations

from typing import Final

from recovery.failures.kinds import Rule, answered, coded, says, weighed
from recovery.failures.limits import LIMITS

_SERVERS: Final = (408, 409, 429, *range(500, 531))

_REFUSED: Final[tuple[Rule, ...]] = (
    coded("content_refused", "refusal_codes",
        "the provider's own word for content that it will not serve",
        """
        content_filter content_filtered content_policy_violation ResponsibleAIPolicyViolation
        content_policy content_moderation moderation_blocked moderation_error PROHIBITED_CONTENT
        prompt_blocked safety RECITATION BLOCKLIST SPII IMAGE_SAFETY guardrail_intervened
        guardrails_blocked cyber_policy_violation usage_policy_violation policy_violation refusal
        data_inspection_failed invalid_prompt safety_violation InputTextSensitiveContentDetected
        OutputTextSensitiveContentDetected SensitiveContentDetected BlockedPromptException
        StopCandidateException ContentFilterFinishReasonError sensitive_words_detected
        image_content_policy_violation blocked_by_safety safety_check_failed unsafe_content
        content_blocked model_refusal
        """,
        example="Response incomplete: content_filter",
    ),
    says("content_refused", "content_filter",
        "a filter, a policy or a safety system refused the prompt or the answer",
        r"content (?:management )?polic(?:y|ies)|content.?filter(?:ing|ed|s)?\b",
        "usage polic(?:y|ies)|usage guidelines|acceptable use|responsible ai",
        "safety (?:system|filters?|guidelines|reasons|polic|settings|check|violation|concerns)",
        "(?:blocked|rejected|refused|flagged|filtered|stopped|terminated"
        r"|finish\w{0,7})\b.{0,60}(?:safety|moderation|polic(?:y|ies)|prohibited"
        "|recitation|inappropriate|unsafe|guardrail|violat|high risk|sensitive|copyright"
        "|cybersecurity|harmful)",
        r"(?:prompt|input|output|content|response|request)\b.{0,40}(?:was|has been|is|were"
        "|may be|been) (?:flagged|blocked by|moderated|filtered)",
        "content exists risk|inappropriate content|sensitive (?:words|content|information)",
        "new_sensitive|potentially (?:unsafe|sensitive)",
        r"violat\w{1,4} (?:our|the|google|openai|usage|anthropic|x?ai).{0,40}(?:polic"
        "|terms|guidelines|practices)",
        r"prohibited_content|guardrail|considered high risk|\bblock(?:ed)?_?reason"
        "|for safety",
        r"model refused|refused to (?:answer|respond)|content\b.{0,60}\bis blocked",
        unless="access was terminated|organization (?:policy|has been)|service control policy"
        "|resource.?based policy|identity-based policy|data policy|no endpoints|privacy"
        "|account (?:was|has been|is)|violation of protocol",
        example="candidate.finishReason = 'SAFETY'",
    ),
    coded("auth", "auth_codes",
        "the provider's own word for credentials that are wrong or not enough",
        """
        invalid_api_key missing_api_key api_key_invalid API_KEY_SERVICE_BLOCKED AuthenticationError
        AuthError unauthorized UNAUTHENTICATED PermissionDeniedError permission_error
        AccessDeniedException ForbiddenError token_expired ExpiredTokenException
        UnrecognizedClientException access_terminated InvalidSignatureException
        SignatureDoesNotMatch IncompleteSignature NotAuthorized MissingAuthenticationToken
        InvalidClientTokenId NoCredentialsError OAuthError PartialCredentialsError
        ACCESS_TOKEN_SCOPE_INSUFFICIENT unsupported_api_key wrong_api_key invalid_client
        TokenRetrievalError SSOTokenLoadError RefreshError UnauthorizedSSOTokenError
        DefaultCredentialsError account_deactivated invalid_token invalid_grant
        invalid_authentication_error authentication_failed organization_restricted
        organization_deactivated unsupported_country_region_territory CONSUMER_INVALID
        CredentialUnavailableError CredentialsProviderError ClientAuthenticationError
        SERVICE_DISABLED ip_not_authorized model_access_denied invalid_iam_token token_invalidated
        CredentialRetrievalError CREDENTIALS_MISSING ACCESS_TOKEN_EXPIRED LoadAPIKeyError
        AI_LoadAPIKeyError AccessDenied.Unpurchased AppIdNoAuthError
        """,
        example='HTTP 401: {"error":"invalid_token"}',
    ),
    says("auth", "denied_upstream",
        "who asks may not use the model, whatever status the gateway chose for that",
        r"\bnot authorized to perform\b|access is denied due to",
        example="502 Bedrock streaming failed: Model access is denied due to IAM user or service "
        "role is not authorized to perform the required AWS Marketplace actions",
    ),
    says("auth", "credentials",
        "a key, a token or a permission is missing, wrong, expired or not enough",
        "(?:please set|specify|provide) .{0,80}(?:api.?key|auth method)",
        "(?:invalid|incorrect|missing|no|expired|wrong|bad|unknown|revoked|disabled"
        r"|provide an?|set the|find|unrecognized) (?:\S{1,30} ){0,3}(?:\S{0,20}api.?key"
        "|api.?token|access.?token|auth(?:entication|orization)? ?token"
        "|credentials?|bearer|subscription key|oauth|authentication|security token"
        "|id token)",
        r"(?:api.?key|access.?token|token|credentials?|session)\b.{0,60}(?:not valid"
        r"|is invalid|\binvalid\b|expired|revoked|missing|not found|not provided"
        "|is required|disabled|incorrect|deactivated|not set|must be set"
        "|does not have|lacks)",
        r"\binvalid token\b|unauthori[sz]ed|unauthenticated|authentication (?:fail|error"
        "|requir)",
        "not authori[sz]ed|authori[sz]ation (?:fail|error|requir|header)",
        r"could not resolve authentication|\bforbidden|access denied|permission.denied",
        "permission '.{1,100}' denied",
        r"(?:do(?:es)? not|don'?t|doesn'?t) have (?:the )?(?:\w{1,20} )?(?:access"
        "|permission)",
        "not allowed to|must be a member|no access to|insufficient permission",
        "missing (?:scopes|permissions)|lacks permission|not have permission",
        "access (?:to .{1,60} )?(?:has|is) not (?:been )?(?:granted|enabled)",
        "caller does not have|unable to locate credentials|reauthenticat",
        r"please (?:run|log|sign).{0,20}(?:login|in again|in\b)",
        "could not load (?:the )?default credentials|not logged in|login (?:is )?required"
        "|access was terminated|config profile|username or password"
        "|request signature we calculated",
        r"account (?:\S{1,60} )?(?:is |has been |was )?(?:\w{1,12} )?(?:deactivated"
        "|suspended|disabled|banned|terminated|not active)",
        "organization has been disabled|country, region",
        "(?:country|region|location) (?:is )?not supported|only authorized for use|not eligible",
        "not (?:available|supported|offered) (?:in|for) (?:this|your)(?: current)? "
        "(?:country|region|location|territory)",
        "must be verified|verify (?:your )?organi[sz]ation"
        "|verification (?:is )?required",
        unless_statuses=_SERVERS,
        unless=r"model_not_found|does not exist \(?or (?:you|perhaps)|(?:model|deployment|publisher"
        r"|endpoint)\b.{0,120}(?:not found|does not exist|is not supported)|max_?tokens"
        "|unexpected token|unsupported|tool_?use|<html",
        example="key_not_found: no such API key",
    ),
    says("invalid_request", "request_wrong",
        "the request itself is wrong: its model, a parameter, a tool's schema, an image",
        "model.{0,80}(?:not found|does not exist|not exist|is not supported|not available"
        "|no longer|has been (?:deprecated|decommissioned|retired)|not a valid|is invalid"
        "|does not support|unknown|isn't supported|is deprecated)",
        r"no (?:model|deployment|image|tool)\b|\bmodel (?:is |was |has been )?disabled\b",
        "(?:invalid|unknown|unsupported|unrecognized|no such) (?:model|deployment|schema"
        r"|parameter|param\b|params\b|value|argument|type|role|tool|function|request|image"
        r"|base64|json|input\b|body|messages?|url|format|media|content.?type|enum"
        "|max_tokens|temperature|property|field)",
        "(?:unsupported|not supported|unexpected|missing|required) .{0,60}(?:parameter"
        r"|field|argument|property|param|key \[|content type)",
        "is not supported with this model",
        "(?:tool_use|tool_result|tool_call|function_call|tool call"
        "|thinking).{0,120}(?:must|without|missing|cannot|not found|required|no tool"
        "|found|expected|invalid|has no)",
        r"(?:image|pdf|document|file|media|audio|video)\b.{0,120}(?:too large|exceed"
        "|too many|maximum|not supported|unsupported|invalid|could not|corrupt|at most"
        "|too small|larger)",
        "could not process image|supports at most",
        "max_tokens.{0,40}(?:>|too large|must|exceed|at most)",
        "maximum allowed number of output tokens",
        "must be (?:one of|a |an |in |less|greater|non-empty|at|between|followed|of|positive|<|>)",
        "must (?:not |have |contain |end |start |alternate)",
        r"should be (?:a|an|one|less|greater|in|between)\b|malformed (?:input|request)",
        "(?:should|does not|must) match pattern",
        "(?:could not|cannot|unable to) (?:find|access) model|bad request|invalid_argument",
        "validation error|failed validation|validationexception|extra inputs are not permitted",
        "schema|expected (?:last|first) role|cannot (?:specify|be used|have both|mix|use)",
        "not (?:a )?valid (?:json|value|model|request)|(?:string|array) too long",
        "too many (?:tools|images|functions|stop)",
        "failed to parse (?:tool|function|grammar|arguments|the (?:request|image|tool))",
        "field required|no endpoints found|no allowed providers",
        "no models loaded|try pulling",
        "does not support (?:tools|images?|function|streaming|vision)",
        "deployment.{0,60}not exist|with id .{0,80} not found|on-demand throughput",
        "unknown provider|llm provider not provided|request contains an invalid",
        "streaming is required|is not a chat model|not in the (?:v1|list)",
        unless_statuses=(*_SERVERS, 401, 402, 403),
        unless="overload|timed? ?out|temporar|unavailable|internal|server.?error|upstream"
        "|unexpected end|unexpected token|in json at|bad gateway|try again|retry|chunk"
        r"|stream (?:error|ended|closed)|connect(?!ionerror: llm)|network|websocket|\bsse\b|event"
        "|is (?:currently )?loading",
        example="max_tokens: Field required",
    ),
    coded("invalid_request", "request_codes",
        "a client library's own word for a request that is wrong",
        """
        BadRequestError NotFoundError UnprocessableEntityError UnsupportedParamsError
        ModelNotFoundError DeploymentNotFound invalid_model ModelNotAllowed unsupported_parameter
        unsupported_value missing_required_parameter unknown_parameter invalid_type invalid_value
        invalid_image invalid_image_format image_too_large invalid_base64
        invalid_function_parameters invalid_tool_schema tool_use_failed json_validate_failed
        model_decommissioned model_deprecated string_above_max_length array_above_max_length
        integer_above_max_value InvalidParameter InvalidParameterValue UnsupportedModel
        InvalidArgument FAILED_PRECONDITION OUT_OF_RANGE UNIMPLEMENTED ParamValidationError
        JSONSchemaValidationError RequestValidationError invalid_json invalid_schema
        invalid_messages ValidationException ResourceNotFoundException MethodNotAllowed
        UnsupportedMediaType unsupported_content_type invalid_input unsupported_file
        AI_UnsupportedFunctionalityError OperationNotSupported invalid_request_body
        REQUEST_BODY_INVALID INVALID_MODEL_ID InvalidURL UnsupportedProtocol MissingSchema
        LocalProtocolError ProviderModelNotFoundError
        """,
        unless=r"\u65e0\u53ef\u7528\u6e20\u9053",
        example='{"error":{"type":"invalid_type","message":"expected string, got null"}}',
    ),
)  # fmt: skip

_STATUSES: Final[tuple[Rule, ...]] = (
    coded("transient", "model_not_ready",
        "a model that is being started answers 429, although nobody sent too much",
        "ModelNotReadyException",
        example="An error occurred (ModelNotReadyException) when calling the InvokeModel operation",
    ),
    says("transient", "overloaded",
        "the service says that it is overloaded, whatever status it chose for that",
        r"\b(?:servers?|service|model|engine|system) (?:is|are) (?:\w{1,20} )?"
        "(?:overloaded|at capacity|under (?:high|heavy) load)|degraded function|model_degraded",
        r"\b(?:is|are) (?:currently )?experiencing (?:\w{1,20} )?(?:high|heavy|issues|problems"
        "|difficulties|outage)|server had an error (?:while )?processing",
        unless_statuses=(429,),
        example="API error (400): Our servers are currently overloaded.",
    ),
    answered("quota", "status_402",
        "payment required",
        402,
        example="402 You've used up your points. Visit https://poe.com/api_key to get more.",
    ),
    answered("auth", "status_401_403",
        "not known, or not allowed",
        401,
        403,
        407,
        451,
        example="Request failed with status code 401",
    ),
    answered("overflow", "status_413",
        "the request is too large",
        413,
        example="HTTP 413",
    ),
    answered("rate_limited", "status_429",
        "too many requests",
        429,
        example="Request failed with status code 429",
    ),
    answered("transient", "status_passing",
        "a timeout, a conflict that passes, a model that is not ready, a client that was cut off",
        *(408, 409, 424, 425, 498, 499),
        example="Error code: 424 - {'error': {'code': 'FailedDependency'}}",
    ),
    answered("invalid_request", "status_501",
        "the server cannot do this at all",
        501,
        505,
        506,
        510,
        example="HTTP 501 Not Implemented",
    ),
    answered("transient", "status_5xx",
        "the server, or one on the way to it, failed",
        *range(500, 531),
        example="Bad Gateway: error code 502",
    ),
    answered("invalid_request", "status_4xx",
        "any other refusal of the request",
        *range(400, 452),
        example="Error: 404 404 page not found",
    ),
)  # fmt: skip

_CODES: Final[tuple[Rule, ...]] = (
    says("unknown", "certificate",
        "a certificate that is not trusted stays untrusted",
        "certificate.verify.failed|self.signed certificate",
        "unable to verify the first certificate|unable to get local issuer",
        "certificate has expired|certificate verification",
        example="[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed (_ssl.c:1000)",
    ),
    says("transient", "model_process",
        "the process that runs the model did not start, or it ended",
        r"\brunner\b.{0,20} (?:has terminated|no longer running|to start)\b"
        r"|\bmodel (?:has )?(?:crashed|unloaded)|\benginecore\b",
        example='{"error":"timed out waiting for llama runner to start - progress 0.00"}',
    ),
    coded("transient", "transient_codes",
        "the provider's or a client library's own word for a failure that passes",
        """
        overloaded_error engine_overloaded_error server_overloaded server_error api_error
        internal_server_error internal_error InternalFailure unavailable ServiceUnavailable
        over_capacity NoCapacity DEADLINE_EXCEEDED ABORTED CANCELLED DATA_LOSS GatewayTimeout
        BadGateway timeout turn_timeout silence_timeout APITimeoutError RequestTimeout
        ModelTimeoutException ModelErrorException ModelStreamErrorException ConnectTimeout
        ReadTimeout WriteTimeout PoolTimeout ServerTimeoutError SocketTimeoutError
        ConnectionTimeoutError APIConnectionError ConnectionError ConnectError ConnectionResetError
        ConnectionRefusedError ConnectionAbortedError BrokenPipeError ConnectionClosedError
        EndpointConnectionError ReadError WriteError CloseError NetworkError RemoteProtocolError
        RemoteDisconnected ServerDisconnectedError ServerConnectionError ClientConnectionError
        ProxyError ProxyConnectionError HTTPClientError ClientConnectorError ClientOSError
        ClientConnectorDNSError ClientPayloadError ChunkedEncodingError ProtocolError IncompleteRead
        ResponseStreamingError EventStreamError StreamError StreamClosedError gaierror SSLEOFError
        SSLZeroReturn MaxRetryError NewConnectionError NameResolutionError ContentDecodingError
        JSONDecodeError APIResponseValidationError DecodingError ECONNRESET ECONNREFUSED
        ECONNABORTED ETIMEDOUT ENETUNREACH EHOSTUNREACH ENETDOWN ENETRESET EHOSTDOWN EPIPE EAI_AGAIN
        ENOTFOUND ESOCKETTIMEDOUT UND_ERR_SOCKET UND_ERR_CONNECT_TIMEOUT UND_ERR_HEADERS_TIMEOUT
        UND_ERR_ABORTED UND_ERR_BODY_TIMEOUT ERR_STREAM_PREMATURE_CLOSE ERR_HTTP2_STREAM_ERROR
        ERR_HTTP2_PROTOCOL_ERROR NGHTTP2_ENHANCE_YOUR_CALM ERR_SOCKET_CONNECTION_TIMEOUT
        provider_error upstream_error provider_unavailable model_overloaded no_available_provider
        retryable_error incomplete_generation generation TransientError provider_returned_error
        CapacityError server_busy model_unavailable FailedToOpenSocket IncompleteMessage
        EngineDeadError ClosedResourceError BrokenResourceError UnknownHostException
        StreamResetError
        """,
        example="Error: aborted (ECONNRESET)",
    ),
    coded("invalid_request", "broad_request_codes",
        "the provider's broadest word for a request that is wrong",
        """
        invalid_request_error validation_error invalid unprocessable_entity conflict_error
        """,
        example='{"error":{"message":"Not for you.","type":"invalid_request_error"}}',
    ),
)  # fmt: skip

_WEIGHED: Final[tuple[Rule, ...]] = (
    weighed("overflow", "its words speak of a conversation that is too long",
        example="The transcript is 12000 words, which is more than I can hold at once.",
    ),
    Rule(
        kind="transient", name="fetch_failed",
        why="the client's call did not reach the service",
        text=r"^fetch failed: (?:connect|read|write|getaddrinfo) e[a-z_]{3,20}\b",
        unless="registry",
        example="fetch failed: connect ECONNREFUSED 203.0.113.7:443",
    ),
    says("transient", "no_answer",
        "the service gave no answer, or none that can be read",
        "failed to (?:get|fetch|receive|obtain) (?:an? |any )?(?:valid )?"
        r"(?:response|reply|completion)|returned an? (?:empty|invalid)\b.{0,30}\bresponse",
        "no (?:response|answer|reply) (?:was|is) (?:returned|received)|empty response from",
        unless="could not be parsed as",
        example="RuntimeError: Failed to get response after 5 retries",
    ),
    weighed("transient", "its words speak of a service, or of the way to it, that is in trouble",
        unless="no (?:messages?|output|result)s? (?:was |were )?(?:returned|produced)",
        example="The server is busy. Please try again later.",
    ),
    weighed("rate_limited", "its words speak of too much in too short a time",
        example="Wait 12 seconds before your next call.",
    ),
    weighed("quota", "its words speak of an allowance or of money that is used up",
        example="Your free trial has ended. Subscribe to go on.",
    ),
    weighed("auth", "its words speak of a key, an account or an access that is not accepted",
        example="That key belongs to a deleted project.",
    ),
    weighed("invalid_request", "its words speak of a request that cannot be answered",
        example="This model cannot read images.",
    ),
    weighed("content_refused", "its words speak of content that is not wanted",
        example="The prompt was judged harmful and not processed.",
    ),
)  # fmt: skip

RULES: Final[tuple[Rule, ...]] = (
    *LIMITS,
    *_REFUSED,
    *_STATUSES,
    *_CODES,
    *_WEIGHED,
)
"""Every rule, in the order in which they decide."""
