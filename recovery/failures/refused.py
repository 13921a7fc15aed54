"""Rules for requests that will never pass as they are: too long, refused, not allowed, wrong."""

from __future__ import annotations

from typing import Final

from recovery.failures.rules import Rule, answered, coded, says

_THROTTLED: Final = (
    r"rate.?limit(?!s?/|-)|too many requests|throttl|\A(?:\d{3} )?service.unavailable:"
)

# What a request did wrong is not to be read into an answer that blames the server.
_SERVERS: Final = frozenset({408, 409, 429, *range(500, 531)})

REFUSED: Final[tuple[Rule, ...]] = (
    coded(
        "overflow",
        "the provider's own word for a context that is too long",
        """
        context_length_exceeded ContextLengthExceeded ContextWindowExceededError
        context_window_exceeded model_context_window_exceeded exceed_context_size_error
        context_size_exceeded context_length_error prompt_too_long request_too_large
        RequestTooLarge RequestEntityTooLarge input_too_long max_context_length_exceeded
        tokens_limit_reached context_overflow PayloadTooLarge ContextOverflowError
        LLMContextLengthExceededException input_tokens_exceeded token_limit_exceeded
        context_limit_exceeded
        """,
        unless=_THROTTLED,
    ),
    says(
        "overflow",
        "the prompt is longer than the model's context",
        r"(?:prompt|input|message|messages|conversation|request|context|history)\b.{0,40}(?:is"
        r"|are|was) (?:too long|too large for|longer than|larger than the)",
        r"prompt too long|prompt_too_long|request_too_large",
        r"context.?(?:window|length|size).?exceeded",
        r"(?:exceed\w{0,4}|over|beyond|past|larger than|longer than|greater than) "
        r".{0,60}context[ _-]?(?:window|length|size|limit)",
        r"context[ _-]?(?:window|length|size|limit).{0,40}(?:exceed|overflow|is full|reached"
        r"|too)",
        r"exceed.{0,20}maximum context|context the overflows|context (?:window )?(?:is )?full",
        r"context overflow|(?:conversation|prompt|input|message) too long|out of room in",
        r"context (?:length|window) is (?:only )?[\d,]",
        r"(?:prompt|input|total|requested|message) tokens?.{0,20}exceed",
        r"tokens.{0,40}exceeds? the max",
        r"(?:maximum|max) (?:prompt|context) length (?:is|of) [\d,]+",
        r"maximum context length\b.{0,20}(?:[\d,]+|exceed)",
        r"(?:input )?token count.{0,40}exceed\w{0,3} the (?:max|limit)|input tokens exceed",
        r"range of input length|(?:prompt|input).{0,20}exceed\w{0,3} max",
        r"exceed\w{0,3} the maximum (?:number of |allowed )?(?:input )?(?:tokens|length|input)",
        r"exceeded model token limit",
        r"exceed\w{0,3} (?:the )?(?:model'?s? |model )?(?:maximum )?(?:token|input|context) "
        r"limit",
        r"(?:token|prompt|input|context|message|request)[^\n]{0,100}exceeds? the (?:configured "
        r")?limit of [\d,]+",
        r"\Aexceeds the limit of \d+",
        r"(?:payload size|request size|total size|request body|payload).{0,30}exceed",
        r"exceeds? the maximum size|payload too large|request entity too large|content too large",
        r"too large for model with|too many input tokens|tokens \+ `?max_new_tokens`? must be",
        r"maximum (?:allowed )?input length|input length.{0,60}exceed",
        r"\btokens?\b.{0,30}> [\d,]+ maximum|max input tokens|increase the physical batch size",
        r"string too long\. expected a string with maximum length \d{6,}",
        r"exceed\w{0,3} (?:its |the )?(?:maximum )?(?:allowed )?(?:number of )?tokens allowed",
        r"(?:current length is|your (?:prompt|input|request) (?:has|contains"
        r"|is)).{0,40}(?:while limit|but the (?:limit|max)|exceeding)",
        r"received message larger than max",
        needs="too l|exceed|context|tokens|length|longer|larger|greater|limit|batch size"
        "|request_too_large|prompt_too",
        unless=_THROTTLED
        + r"|max_tokens: \d|maximum allowed number of output tokens|completion tokens"
        r"\b(?!\)|.{0,200}context)|image|\bpdf\b|pixels|tool name|'user'",
        unless_statuses=frozenset({402}),
    ),
    says(
        "overflow",
        "the short words for it, when nothing says that the service throttles",
        r"too many (?:prompt |total )?tokens|token limit exceeded",
        r"exceed\w{0,4} (?:the )?token limit",
        r"(?:please )?(?:reduce|shorten|truncate|decrease) (?:the |your )?(?:length of the "
        r"|length of your )?(?:messages?|prompt|input|context|conversation|history)",
        needs="too many|token limit|reduce|shorten|truncate|decrease",
        unless=_THROTTLED + "|image",
        unless_statuses=frozenset({429}),
    ),
    says(
        "overflow",
        "some servers answer a context that is too long with no body at all",
        r"\A\s*4(?:00|13)\s{0,4}(?:status code)?\s{0,4}\(no body\)",
        needs="(no body)",
    ),
    coded(
        "content_refused",
        "the provider's own word for content that it will not serve",
        """
        content_filter content_filtered content_filter_error ContentFilterError
        content_policy_violation ContentPolicyViolationError ResponsibleAIPolicyViolation
        content_policy content_moderation moderation_blocked moderation_error PROHIBITED_CONTENT
        prompt_blocked safety SAFETY RECITATION BLOCKLIST SPII IMAGE_SAFETY guardrail_intervened
        GUARDRAIL_INTERVENED guardrails_blocked cyber_policy_violation usage_policy_violation
        policy_violation refusal data_inspection_failed DataInspectionFailed invalid_prompt
        safety_violation InputTextSensitiveContentDetected OutputTextSensitiveContentDetected
        SensitiveContentDetected BlockedPromptException StopCandidateException
        ContentFilterFinishReasonError sensitive_words_detected image_content_policy_violation
        blocked_by_safety safety_check_failed unsafe_content content_blocked model_refusal
        """,
    ),
    says(
        "content_refused",
        "a filter, a policy or a safety system refused the prompt or the answer",
        r"content (?:management )?polic(?:y|ies)|content.?filter(?:ing|ed|s)?\b",
        r"usage polic(?:y|ies)|usage guidelines|acceptable use|responsible ai",
        r"safety (?:system|filters?|guidelines|reasons|polic|settings|check|violation|concerns)",
        r"(?:blocked|rejected|refused|flagged|filtered|stopped|terminated"
        r"|finish\w{0,7})\b.{0,60}(?:safety|moderation|polic(?:y|ies)|prohibited|recitation"
        r"|inappropriate|unsafe|guardrail|violat|high risk|sensitive|copyright|cybersecurity"
        r"|harmful)",
        r"(?:prompt|input|output|content|response|request)\b.{0,40}(?:was|has been|is|were|may "
        r"be|been) (?:flagged|blocked by|moderated|filtered)",
        r"content exists risk|inappropriate content|sensitive (?:words|content|information)",
        r"new_sensitive|potentially (?:unsafe|sensitive)",
        r"violat\w{1,4} (?:our|the|google|openai|usage|anthropic|x?ai).{0,40}(?:polic|terms"
        r"|guidelines|practices)",
        r"prohibited_content|guardrail|considered high risk|\bblock(?:ed)?_?reason|for safety",
        r"safety reasons|model refused|refused to (?:answer|respond)",
        needs="polic|filter|guidelines|acceptable|responsible|safety|moderat|prohibited|recitation"
        "|inappropriate|unsafe|guardrail|risk|sensitive|copyright|cyber|harmful|flagged|block"
        "|violat|refused",
        unless="access was terminated|organization (?:policy|has been)|service control policy"
        "|resource.?based policy|identity-based policy|data policy|no endpoints|privacy"
        "|account (?:was|has been|is)|violation of protocol",
    ),
    coded(
        "auth",
        "the provider's own word for credentials that are wrong or not enough",
        """
        invalid_api_key InvalidApiKey missing_api_key api_key_invalid API_KEY_INVALID
        API_KEY_SERVICE_BLOCKED AuthenticationError authentication_error AuthError
        AuthenticationException unauthorized UnauthorizedError UNAUTHENTICATED Unauthenticated
        PermissionDeniedError PERMISSION_DENIED PermissionDenied permission_error
        permission_denied_error AccessDeniedException access_denied AccessDenied ForbiddenError
        forbidden ForbiddenException token_expired ExpiredTokenException ExpiredToken
        UnrecognizedClientException access_terminated InvalidSignatureException
        SignatureDoesNotMatch IncompleteSignature NotAuthorized MissingAuthenticationToken
        InvalidClientTokenId NoCredentialsError OAuthError PartialCredentialsError
        ACCESS_TOKEN_SCOPE_INSUFFICIENT unsupported_api_key wrong_api_key invalid_client
        TokenRetrievalError SSOTokenLoadError RefreshError UnauthorizedSSOTokenError
        DefaultCredentialsError account_deactivated invalid_token invalid_grant
        invalid_authentication_error authentication_failed auth_error organization_restricted
        organization_deactivated unsupported_country_region_territory CONSUMER_INVALID
        CredentialUnavailableError CredentialsProviderError ClientAuthenticationError
        SERVICE_DISABLED ip_not_authorized model_access_denied invalid_iam_token
        token_invalidated CredentialRetrievalError NotAuthorizedException CREDENTIALS_MISSING
        ACCESS_TOKEN_EXPIRED LoadAPIKeyError AI_LoadAPIKeyError
        """,
    ),
    says(
        "auth",
        "a key, a token or a permission is missing, wrong, expired or not enough",
        r"(?:please set|specify|provide) .{0,80}(?:api.?key|auth method)",
        r"(?:invalid|incorrect|missing|no|expired|wrong|bad|unknown|revoked|disabled|provide an?"
        r"|set the|find|unrecognized) (?:\S{1,30} ){0,3}(?:\S{0,20}api.?key|api.?token|x-api-key"
        r"|access.?token|auth(?:entication|orization)? ?token|credentials?|bearer|subscription "
        r"key|oauth|authentication|security token|id token)",
        r"(?:api.?key|access.?token|token|credentials?|session)\b.{0,60}(?:not valid|is invalid"
        r"|\binvalid\b|expired|revoked|missing|not found|not provided|is required|disabled"
        r"|incorrect|deactivated|were not found|not set|must be set|does not have|lacks)",
        r"\binvalid token\b|unauthori[sz]ed|unauthenticated|authentication (?:fail|error|requir)",
        r"not authori[sz]ed|authori[sz]ation (?:fail|error|requir|header)",
        r"could not resolve authentication|\bforbidden|access denied|permission.denied",
        r"permission '.{1,100}' denied",
        r"(?:do(?:es)? not|don'?t|doesn'?t) have (?:the )?(?:\w{1,20} )?(?:access|permission)",
        r"not allowed to|must be a member|no access to|insufficient permission",
        r"missing (?:scopes|permissions)|lacks permission|not have permission",
        r"caller does not have|unable to locate credentials|reauthenticat",
        r"please (?:run|log|sign).{0,20}(?:login|in again|in\b)",
        r"could not load (?:the )?default credentials|invalid authentication|not logged in",
        r"login (?:is )?required|access was terminated",
        r"account (?:\S{1,60} )?(?:is |has been |was )?(?:\w{1,12} )?(?:deactivated|suspended"
        r"|disabled|banned|terminated|not active)",
        r"organization has been disabled|country, region",
        r"(?:country|region|location) (?:is )?not supported|only authorized for use|not eligible",
        r"authentication fails",
        needs="key|token|credential|auth|access|permission|allowed|member|login|log |logged|sign"
        "|forbidden"
        "|session|deactivated|suspended|disabled|banned|terminated|supported|eligible|account"
        "|scopes",
        unless_statuses=_SERVERS,
        unless=r"model_not_found|does not exist or you|(?:model|deployment|publisher"
        r"|endpoint)\b.{0,120}(?:not found|does not exist|is not supported)|max_?tokens"
        r"|unexpected token|unsupported|tool_?use|<html",
    ),
    says(
        "invalid_request",
        "the request itself is wrong: its model, a parameter, a tool's schema, an image",
        r"model.{0,80}(?:not found|does not exist|not exist|is not supported|not available|no "
        r"longer|has been (?:deprecated|decommissioned|retired)|not a valid|is invalid|does not "
        r"support|unknown|isn't supported|is deprecated)",
        r"no (?:model|deployment|image|tool)\b",
        r"(?:invalid|unknown|unsupported|unrecognized|no such) (?:model|deployment|schema"
        r"|parameter|param\b|params\b|value|argument|type|role|tool|function|request|image"
        r"|base64|json|input\b|body|messages?|url|format|media|content.?type|enum|max_tokens"
        r"|temperature|property|field)",
        r"(?:unsupported|not supported|unexpected|missing|required) .{0,60}(?:parameter|field"
        r"|argument|property|param|key \[|content type)",
        r"is not supported with this model|unrecognized request",
        r"(?:tool_use|tool_result|tool_call|function_call|tool call|thinking).{0,120}(?:must"
        r"|without|missing|cannot|not found|required|no tool|found|expected|invalid|has no)",
        r"no tool (?:output|call) found",
        r"(?:image|pdf|document|file|media|audio|video)\b.{0,120}(?:too large|exceed|too many"
        r"|maximum|not supported|unsupported|invalid|could not|corrupt|at most|too small|larger)",
        r"could not process image|supports at most",
        r"max_tokens.{0,40}(?:>|too large|must|exceed|at most)",
        r"maximum allowed number of output tokens",
        r"must be (?:one of|a |an |in |less|greater|non-empty|at|between|followed|of|positive|<"
        r"|>)",
        r"must (?:not |have |contain |end |start |alternate)",
        r"should be (?:a|an|one|less|greater|in|between)\b|malformed (?:input|request)",
        r"(?:should|does not|must) match pattern",
        r"(?:could not|cannot|unable to) (?:find|access) model|bad request|invalid_argument",
        r"validation error|failed validation|validationexception|extra inputs are not permitted",
        r"schema|expected (?:last|first) role|cannot (?:specify|be used|have both|mix|use)",
        r"not (?:a )?valid (?:json|value|model|request)|(?:string|array) too long",
        r"too many (?:tools|images|functions|stop)",
        r"failed to parse (?:tool|function|grammar|arguments|the (?:request|image|tool))",
        r"field required|no endpoints found|no allowed providers|requires more system memory",
        r"no models loaded|try pulling",
        r"does not support (?:tools|images?|function|streaming|vision)",
        r"deployment.{0,60}not exist|with id .{0,80} not found|on-demand throughput",
        r"unknown provider|llm provider not provided|request contains an invalid",
        r"streaming is required|is not a chat model|not in the (?:v1|list)",
        needs="pattern|unexpected|model|invalid|unknown|unsupported|supported|unrecognized|missing"
        "|required"
        "|tool"
        "|function|thinking|image|pdf|document|file|media|audio|video|max_tokens|must|should"
        "|malformed|bad request|validation|permitted|schema|role|cannot|valid|too long|too many"
        "|parse|endpoints|providers|memory|loaded|pulling|support|deployment|with id|throughput"
        "|provider|streaming|not in|no such|output tokens",
        unless_statuses=_SERVERS | {401, 402, 403},
        unless=r"overload|timed? ?out|temporar|unavailable|internal|server.?error|upstream"
        r"|unexpected end|unexpected token|in json at|bad gateway|try again|retry|chunk"
        r"|stream (?:error"
        r"|ended|closed)|connect|network|websocket|\bsse\b|event|is (?:currently )?loading",
    ),
    coded(
        "invalid_request",
        "a client library's own word for a request that is wrong",
        """
        BadRequestError BadRequestException NotFoundError UnprocessableEntityError
        UnsupportedParamsError ModelNotFoundError ModelNotFoundException model_not_found
        DeploymentNotFound invalid_model InvalidModel ModelNotAllowed unsupported_parameter
        unsupported_value missing_required_parameter unknown_parameter invalid_type invalid_value
        invalid_image invalid_image_format image_too_large invalid_base64
        invalid_function_parameters invalid_tool_schema tool_use_failed json_validate_failed
        model_decommissioned model_deprecated string_above_max_length array_above_max_length
        integer_above_max_value InvalidParameter invalid_parameter
        invalid_parameter_error InvalidParameterValue UnsupportedModel unsupported_model
        InvalidArgument INVALID_ARGUMENT FAILED_PRECONDITION OUT_OF_RANGE UNIMPLEMENTED
        ParamValidationError JSONSchemaValidationError RequestValidationError invalid_json
        invalid_schema invalid_messages ValidationException ResourceNotFoundException
        MethodNotAllowed UnsupportedMediaType unsupported_content_type invalid_input
        NotFoundException unsupported_file AI_UnsupportedFunctionalityError OperationNotSupported
        invalid_request_body REQUEST_BODY_INVALID INVALID_MODEL_ID InvalidURL UnsupportedProtocol
        MissingSchema InvalidSchema LocalProtocolError
        """,
    ),
)

STATUSES: Final[tuple[Rule, ...]] = (
    coded(
        "transient",
        "a model that is being started answers 429, although nobody sent too much",
        "ModelNotReadyException",
    ),
    answered("quota", "payment required", 402),
    answered("auth", "not known, or not allowed", 401, 403, 407),
    answered("overflow", "the request is too large", 413),
    answered("rate_limited", "too many requests", 429),
    answered(
        "transient",
        "a timeout, a conflict that passes, a model that is not ready, a client that was cut off",
        *(408, 409, 424, 425, 498, 499),
    ),
    answered("invalid_request", "the server cannot do this at all", 501, 505, 506, 510),
    answered("transient", "the server, or one on the way to it, failed", *range(500, 531)),
    answered("invalid_request", "any other refusal of the request", *range(400, 452)),
)
