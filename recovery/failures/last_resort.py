"""Rules of last resort: codes and words that many errors share, after everything particular."""

from __future__ import annotations

from typing import Final

from recovery.failures.rules import Rule, coded, says

CODES: Final[tuple[Rule, ...]] = (
    says(
        "unknown",
        "a certificate that is not trusted stays untrusted",
        r"certificate.verify.failed|certificate_verify_failed|self.signed certificate",
        r"unable to verify the first certificate|unable to get local issuer",
        r"certificate has expired",
        needs="certificate",
    ),
    coded(
        "transient",
        "the provider's or a client library's own word for a failure that passes",
        """
        overloaded_error overloaded OverloadedError engine_overloaded_error engine_overloaded
        server_overloaded server_error ServerError api_error internal_server_error
        InternalServerError InternalServerException internal_error InternalError INTERNAL
        InternalFailure InternalFailureException unavailable ServiceUnavailable
        service_unavailable ServiceUnavailableError unavailable_error ServiceUnavailableException
        over_capacity NoCapacity DEADLINE_EXCEEDED DeadlineExceeded ABORTED CANCELLED DATA_LOSS
        GatewayTimeout BadGateway timeout TimeoutError timeout_error APITimeoutError
        TimeoutException RequestTimeout request_timeout RequestTimeoutException gateway_timeout
        ModelTimeoutException ModelNotReadyException ModelErrorException
        ModelStreamErrorException ConnectTimeout ReadTimeout WriteTimeout PoolTimeout
        ConnectTimeoutError ReadTimeoutError ServerTimeoutError SocketTimeoutError
        ConnectionTimeoutError APIConnectionError ConnectionError ConnectError
        ConnectionResetError ConnectionRefusedError ConnectionAbortedError BrokenPipeError
        ConnectionClosedError ConnectionClosed EndpointConnectionError ReadError WriteError
        CloseError NetworkError RemoteProtocolError RemoteDisconnected ServerDisconnectedError
        ServerConnectionError ClientConnectionError ProxyError ProxyConnectionError
        HTTPClientError ClientConnectorError ClientOSError ClientConnectorDNSError
        ClientPayloadError ChunkedEncodingError ProtocolError IncompleteRead IncompleteReadError
        ResponseStreamingError EventStreamError StreamError StreamClosedError stream_error
        gaierror SSLEOFError SSLZeroReturn MaxRetryError NewConnectionError NameResolutionError
        ContentDecodingError JSONDecodeError APIResponseValidationError DecodingError ECONNRESET
        ECONNREFUSED ECONNABORTED ETIMEDOUT ENETUNREACH EHOSTUNREACH ENETDOWN ENETRESET EHOSTDOWN
        EPIPE EAI_AGAIN ENOTFOUND ESOCKETTIMEDOUT UND_ERR_SOCKET UND_ERR_CONNECT_TIMEOUT
        UND_ERR_HEADERS_TIMEOUT UND_ERR_ABORTED UND_ERR_BODY_TIMEOUT ERR_STREAM_PREMATURE_CLOSE
        ERR_HTTP2_STREAM_ERROR ERR_SOCKET_CONNECTION_TIMEOUT provider_error upstream_error
        bad_gateway provider_unavailable model_overloaded no_available_provider retryable_error
        overloaded_exception incomplete_generation generation TransientError
        provider_returned_error CapacityError server_busy ServerBusy model_unavailable
        FailedToOpenSocket ConnectionRefused IncompleteMessage EngineDeadError
        ClosedResourceError BrokenResourceError UnknownHostException StreamResetError
        """,
    ),
    coded(
        "invalid_request",
        "the provider's broadest word for a request that is wrong",
        """
        invalid_request_error invalid_request InvalidRequest validation_error invalid
        unprocessable_entity conflict_error
        """,
    ),
)

LAST_RESORT: Final[tuple[Rule, ...]] = (
    says(
        "rate_limited",
        "any mention of a rate limit",
        r"rate.?limit|resource.?exhausted",
        needs="rate|resource",
        also=r"\A\W{0,8}(?:\w{1,40}\W{1,4}){0,5}\w{0,40}\W{0,8}(?:\Z|\n)|exceed|reach|\bhit|error"
        r"|limited|retry|wait|again"
        r"|request|token|too many|\bapi\b|provider|model|429|exhausted",
        common=True,
        unless="invalid (?:value|parameter)",
    ),
    says(
        "transient",
        "the service is overloaded, down or failing",
        r"overloaded|over capacity|at capacity|high (?:demand|load|traffic)|server (?:is )?busy",
        r"too busy|service.?(?:is )?(?:currently |temporarily )?unavailable",
        r"temporarily unavailable|(?:currently|momentarily) unavailable",
        r"provider.?returned.?error|server.?error|internal.?error|internal server|bad.?gateway",
        r"upstream|no healthy|server had an error",
        r"error (?:occurred )?(?:during|while|in) (?:the )?(?:stream|generat|infer|respon"
        r"|process)",
        r"retry your request|is (?:currently |still )?loading|loading model|not ready|warming up",
        r"(?:an )?unexpected error|something went wrong",
        r"encountered an (?:unexpected |internal )?error|unable to process your request",
        r"invalid response from|model (?:has )?crashed|no available (?:provider|model|capacity)",
        r"no capacity|having trouble|experiencing|server is down|health check",
        r"reset before headers|temporary (?:\w{1,12} )?(?:error|failure|issue|problem)",
        r"web server is|maintenance|(?:please )?try again (?:later|shortly|in a (?:few|moment))",
        needs="tempor|overload|capacity|high |busy|unavailable|provider|server|internal|gateway"
        "|upstream|healthy|processing|retry|loading|ready|warming|unexpected|went wrong"
        "|encountered|process|error|invalid response|crash|trouble|experienc|health|reset"
        "|maintenance|try again",
        common=True,
    ),
    says(
        "transient",
        "the connection or the stream broke, or nothing came in time",
        r"(?:network|connection|connect|socket|transport|protocol|stream(?:ing)?|websocket|sse"
        r"|http/?2?|tls|ssl|proxy|dns|chunk(?:ed)?)[ _.-]{0,2}(?:\w{1,12}[ _-]){0,2}(?:error"
        r"|failure|failed|lost|reset|refused|closed|aborted|broken?|dropped|interrupted"
        r"|terminated|disconnect\w{0,3}|ended|timed?.?out|cut|unreachable|unexpected|exception"
        r"|hang|handshake|eof)",
        r"(?:failed|unable|could not|couldn't|cannot|can't|error) (?:to )?(?:establish|connect"
        r"|reach|resolve|fetch|read|receiv|send|open|sending|reading|decod|pars(?:e|ing) "
        r"(?:stream|chunk|sse|event))",
        r"other side closed|(?:lost|no) connection|transport is closing|forcibly closed",
        r"closed (?:\w{1,12} )?connection|handshake fail|fetch failed|load failed",
        r"socket hang ?up|hang ?up|terminated\b|ended without",
        r"(?:stream|response) (?:\w{1,12} )?(?:ended|closed|stopped|was (?:cut|closed)"
        r"|disconnected)",
        r"http2 request did not get|rst_stream|goaway|premature(?:ly)? (?:close|end)",
        r"closed prematurely|deadline (?:exceeded|expired)|client\.timeout",
        r"i/o timeout|eagain|retry delay",
        r"\be(?:connreset|connrefused|connaborted|timedout|pipe|hostunreach|netunreach|netdown"
        r"|ai_again|notfound|sockettimedout)\b",
        r"getaddrinfo|name or service not known|name resolution|no such host",
        r"nodename nor servname|no address associated|resolve host|no route to host|broken pipe",
        r"(?:network|host) (?:is )?(?:unreachable|down)|software caused connection abort",
        r"connection (?:attempts failed|aborted|was)|peer closed|remote end closed",
        r"server disconnected|without (?:sending|response|a response)",
        r"incomplete (?:chunked )?(?:read|message|stream|response)|incompleteread|unexpected eof",
        r"\beof (?:occurred|while|when|in)|\beof$|unexpected_eof|ssl_error|disconnected",
        r"connection (?:\w{1,12} )?(?:closed|reset|lost)|max retries exceeded|reset by peer",
        r"connection pool|empty (?:response|reply|stream)|no response|invalid http response",
        r"received (?:no|an empty|partial|incomplete)|\[errno (?:32|101|103|104|110|111|113)\]",
        r"websocket|curl: \((?:5|6|7|18|28|35|52|55|56|92)\)|econn|failed to (?:fetch|connect)",
        needs="network|connect|socket|transport|protocol|stream|sse|http|tls|ssl|proxy|dns|chunk"
        "|fail"
        "|unable|could|can|error|closed|fetch|hang|terminat|ended|response|rst_|goaway|prematur"
        "|tim|deadline|eagain|retry|epipe|ehost|enet|eai_|enotfound|esock|getaddrinfo|name|host"
        "|address|route|pipe|unreachable|down|peer|eof|incomplete|without|reset|empty|received"
        "|errno|curl",
        common=True,
    ),
    says(
        "transient",
        "nothing came in time",
        r"timed?.?out|timeout",
        needs="tim",
        also=r"\A\W{0,8}(?:[^\s]{1,60}\s{1,4}){0,2}[^\s]{0,60}[ \t]{0,8}(?:\Z|\n)|request|respon"
        r"|connect|read|write|wait|server"
        r"|gateway|upstream|socket|stream|network|http|fetch|api|model|provider|operation|host"
        r"|proxy|llm|client"
        r"|curl|idle|chunk|signal|poll|call|generat|infer|error|exceeded|after \d|\d ?m?s\b|\d sec"
        r"|try|retry",
        unless=r"\btask\b|\bquestion\b|\bexit \d|\blogin timeout",
        common=True,
    ),
    says(
        "transient",
        "the answer arrived cut off or garbled",
        r"unexpected end of (?:json|input|data|stream|file)",
        r"unterminated string (?:in json|starting at)",
        r"unexpected token .{0,200}(?:json|position|at line)",
        r"unexpected (?:non-whitespace|character)|looking for beginning of value",
        r"(?:eof|error) while parsing|expecting (?:value|',' delimiter|property name)",
        r"expected .{1,40} in json at|in json at position|bad (?:control|escaped) character",
        r"json(?: parse|\.parse)? ?error|is not valid json",
        r"(?:truncated|partial|incomplete|malformed|corrupt\w{0,3}|invalid|garbled) "
        r".{0,30}(?:json|chunk|stream|event|response|sse|data|frame)",
        r"(?:json|chunk|sse|stream|event|response)\b.{0,40}(?:truncated|incomplete|malformed"
        r"|corrupt|cut off)",
        r"error decoding (?:response|stream)|missing (?:message_stop|finish_reason|final|done)",
        r"failed to (?:decode|deserialize|parse).{0,40}(?:json|chunk|stream|event|response|sse)",
        needs="looking|parsing|unexpected|unterminated|expect|json|bad |truncat|partial|incomplete"
        "|malformed|corrupt|invalid|garbled|cut off|decod|missing|failed",
        common=True,
    ),
    says(
        "invalid_request",
        "any mention of a request that is wrong",
        r"invalid.?request|bad.?request|unprocessable|not supported|unsupported",
        needs="invalid|bad|unprocess|support",
        common=True,
    ),
    says(
        "transient",
        "whatever it is, the service says to try again",
        r"(?:please )?(?:try|retry)(?:ing)?(?: your request| again| this)? (?:again )?(?:in"
        r"|after|later|soon|shortly)\b",
        r"retry[_-]after",
        needs="try",
        common=True,
    ),
)
