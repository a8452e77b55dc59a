"""Requests that must not be forwarded: answered once with the named status, counted by reason, nothing after parsed."""

import json

import pytest

from tests.acceptance.conformance.rig import GET, Rig, wait_until

HEAD = b"GET /x HTTP/1.1\r\nHost: payments\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: payments\r\n"
END = b"\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

REFUSED: dict[str, tuple[bytes, int, str]] = {
    # the request line
    "HTTP/2.0": (b"GET /x HTTP/2.0\r\nHost: payments\r\n\r\n", 505, "unsupported_version"),
    "HTTP/3.0": (b"GET /x HTTP/3.0\r\nHost: payments\r\n\r\n", 505, "unsupported_version"),
    "HTTP/1.2": (b"GET /x HTTP/1.2\r\nHost: payments\r\n\r\n", 505, "unsupported_version"),
    "HTTP/0.9 by name": (b"GET /x HTTP/0.9\r\nHost: payments\r\n\r\n", 505, "unsupported_version"),
    "HTTP/0.9 by form": (b"GET /x\r\n\r\n", 400, "bad_request_line"),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "unsupported_version"),
    "version 1.10": (b"GET /x HTTP/1.10\r\nHost: payments\r\n\r\n", 400, "bad_request_line"),
    "version 01.1": (b"GET /x HTTP/01.1\r\nHost: payments\r\n\r\n", 400, "bad_request_line"),
    "version 1": (b"GET /x HTTP/1\r\nHost: payments\r\n\r\n", 400, "bad_request_line"),
    "version in lower case": (b"GET /x http/1.1\r\nHost: payments\r\n\r\n", 400, "bad_request_line"),
    "another protocol": (b"GET /x RTSP/1.0\r\nHost: payments\r\n\r\n", 400, "bad_request_line"),
    "a TLS handshake": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_request_line"),
    "a method in lower case": (b"get /x HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "bad_request_line"),
    "a method that nobody knows": (b"FROB /x HTTP/1.1\r\nHost: payments\r\n\r\n", 501, "unknown_method"),
    "a method with a slash": (b"G/T /x HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "bad_request_line"),
    "a NUL in the method": (b"G\x00T /x HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "bad_request_line"),
    "no method": (b" /x HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "bad_request_line"),
    "two spaces after the method": (b"GET  /x HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "bad_request_line"),
    "two spaces before the version": (b"GET /x  HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "bad_request_line"),
    "a tab after the method": (b"GET\t/x HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "bad_request_line"),
    "a space after the version": (b"GET /x HTTP/1.1 \r\nHost: payments\r\n\r\n", 400, "bad_request_line"),
    "a space in the target": (b"GET /x y HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "bad_request_line"),
    "no target": (b"GET HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "bad_target"),
    "a fragment": (b"GET /x#y HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "bad_target"),
    "a control byte in the target": (b"GET /x\x01 HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "bad_target"),
    "a NUL in the target": (b"GET /x\x00 HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "bad_target"),
    "a tab in the target": (b"GET /x\ty HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "bad_target"),
    "a DEL in the target": (b"GET /x\x7f HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "bad_target"),
    "bytes past ASCII in the target": (b"GET /\xc3\xa4 HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "bad_target"),
    "a CR in the target": (b"GET /x\ry HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "bad_request_line"),
    "a target in no form": (b"GET x HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "bad_target"),
    "the authority form without CONNECT": (b"GET payments:80 HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "bad_target"),
    "the asterisk without OPTIONS": (b"GET * HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "bad_target"),
    "another scheme": (b"GET ftp://payments/x HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "bad_target"),
    "a URL without host": (b"GET http:///x HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "bad_target"),
    "userinfo in the target": (b"GET http://u:p@payments/x HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "host"),
    "port 0 in the target": (b"GET http://payments:0/x HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "host"),
    "port 65536 in the target": (b"GET http://payments:65536/x HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "host"),
    "a port that is no number": (b"GET http://payments:x/ HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "host"),
    "half an IPv6 literal": (b"GET http://[::1/x HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "host"),
    "a bare LF after the request line": (b"GET /x HTTP/1.1\nHost: payments\r\n\r\n", 400, "bad_request_line"),
    "bare LFs throughout": (b"GET /x HTTP/1.1\nHost: payments\n\n", 400, "bad_request_line"),
    # Host
    "no Host": (b"GET /x HTTP/1.1\r\n\r\n", 400, "host"),
    "no Host beside an absolute target": (b"GET http://payments/x HTTP/1.1\r\n\r\n", 400, "host"),
    "two Hosts": (HEAD + b"Host: other\r\n\r\n", 400, "host"),
    "two Hosts that agree": (HEAD + b"host: payments\r\n\r\n", 400, "host"),
    "two Hosts beside an absolute target": (
        b"GET http://payments/x HTTP/1.1\r\nHost: payments\r\nHost: other\r\n\r\n",
        400,
        "host",
    ),
    "two Hosts in HTTP/1.0": (b"GET /x HTTP/1.0\r\nHost: payments\r\nHost: payments\r\n\r\n", 400, "host"),
    "userinfo in Host": (b"GET /x HTTP/1.1\r\nHost: u@payments\r\n\r\n", 400, "host"),
    "userinfo in the Host beside an absolute target": (
        b"GET http://payments/x HTTP/1.1\r\nHost: u@payments\r\n\r\n",
        400,
        "host",
    ),
    "a space in Host": (b"GET /x HTTP/1.1\r\nHost: pay ments\r\n\r\n", 400, "host"),
    "a list in Host": (b"GET /x HTTP/1.1\r\nHost: payments, other\r\n\r\n", 400, "host"),
    "a list in Host without a space": (b"GET /x HTTP/1.1\r\nHost: payments,other\r\n\r\n", 400, "host"),
    "a path in Host": (b"GET /x HTTP/1.1\r\nHost: payments/y\r\n\r\n", 400, "host"),
    "a query in Host": (b"GET /x HTTP/1.1\r\nHost: payments?y\r\n\r\n", 400, "host"),
    "a fragment in Host": (b"GET /x HTTP/1.1\r\nHost: payments#y\r\n\r\n", 400, "host"),
    "a backslash in Host": (b"GET /x HTTP/1.1\r\nHost: payments\\y\r\n\r\n", 400, "host"),
    "a scheme in Host": (b"GET /x HTTP/1.1\r\nHost: http://payments\r\n\r\n", 400, "host"),
    "two ports in Host": (b"GET /x HTTP/1.1\r\nHost: payments:80:81\r\n\r\n", 400, "host"),
    "a signed port in Host": (b"GET /x HTTP/1.1\r\nHost: payments:+80\r\n\r\n", 400, "host"),
    "a bare IPv6 address in Host": (b"GET /x HTTP/1.1\r\nHost: ::1\r\n\r\n", 400, "host"),
    "a byte past ASCII in Host": (b"GET /x HTTP/1.1\r\nHost: p\xc3\xa4yments\r\n\r\n", 400, "host"),
    "a tab in Host": (b"GET /x HTTP/1.1\r\nHost: pay\tments\r\n\r\n", 400, "host"),
    "half a percent-encoding in Host": (b"GET /x HTTP/1.1\r\nHost: payments%4\r\n\r\n", 400, "host"),
    "a Host of 300 bytes": (b"GET /x HTTP/1.1\r\nHost: " + b"a" * 300 + b"\r\n\r\n", 400, "host"),
    "a NUL in Host": (b"GET /x HTTP/1.1\r\nHost: payments\x00\r\n\r\n", 400, "bad_field"),
    "a control byte in Host": (b"GET /x HTTP/1.1\r\nHost: payments\x01\r\n\r\n", 400, "bad_field"),
    # fields
    "a space before the first field": (b"GET /x HTTP/1.1\r\n Host: payments\r\n\r\n", 400, "bad_field"),
    "a tab before the first field": (b"GET /x HTTP/1.1\r\n\tHost: payments\r\n\r\n", 400, "bad_field"),
    "a folded value": (HEAD + b"X: a\r\n b\r\n\r\n", 400, "bad_field"),
    "a value folded with a tab": (HEAD + b"X: a\r\n\tb\r\n\r\n", 400, "bad_field"),
    "a space before the colon": (HEAD + b"X : a\r\n\r\n", 400, "bad_field"),
    "a tab before the colon": (HEAD + b"X\t: a\r\n\r\n", 400, "bad_field"),
    "a space in a name": (HEAD + b"X Y: a\r\n\r\n", 400, "bad_field"),
    "no name": (HEAD + b": a\r\n\r\n", 400, "bad_field"),
    "no colon": (HEAD + b"X\r\n\r\n", 400, "bad_field"),
    "a byte past ASCII in a name": (HEAD + b"X\xc3\xa4: a\r\n\r\n", 400, "bad_field"),
    "a delimiter in a name": (HEAD + b"X(y): a\r\n\r\n", 400, "bad_field"),
    "a NUL in a name": (HEAD + b"X\x00: a\r\n\r\n", 400, "bad_field"),
    "a NUL in a value": (HEAD + b"X: a\x00b\r\n\r\n", 400, "bad_field"),
    "a control byte in a value": (HEAD + b"X: a\x02b\r\n\r\n", 400, "bad_field"),
    "a DEL in a value": (HEAD + b"X: a\x7fb\r\n\r\n", 400, "bad_field"),
    "a bare CR in a value": (HEAD + b"X: a\rb\r\n\r\n", 400, "bad_field"),
    "a bare CR before the end of a line": (HEAD + b"X: a\r\r\n\r\n", 400, "bad_field"),
    "a bare LF after a value": (HEAD + b"X: a\nY: b\r\n\r\n", 400, "bad_field"),
    "a bare LF at the end of the head": (HEAD + b"\n", 400, "bad_field"),
    "a bare CR at the end of the head": (HEAD + b"\r\r\n", 400, "bad_field"),
    # where the body ends
    "a length with a plus": (POST + b"Content-Length: +5\r\n\r\nhello", 400, "content_length"),
    "a length with a minus": (POST + b"Content-Length: -5\r\n\r\nhello", 400, "content_length"),
    "a list of equal lengths": (POST + b"Content-Length: 5, 5\r\n\r\nhello", 400, "content_length"),
    "a list of equal lengths without a space": (POST + b"Content-Length: 5,5\r\n\r\nhello", 400, "content_length"),
    "a list of lengths": (POST + b"Content-Length: 5, 6\r\n\r\nhello", 400, "content_length"),
    "two lengths": (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400, "content_length"),
    "two lengths that agree": (POST + b"Content-Length: 5\r\ncontent-length: 5\r\n\r\nhello", 400, "content_length"),
    "a length in hexadecimal": (POST + b"Content-Length: 0x5\r\n\r\nhello", 400, "content_length"),
    "a length with a letter": (POST + b"Content-Length: 5a\r\n\r\nhello", 400, "content_length"),
    "a length with a fraction": (POST + b"Content-Length: 5.0\r\n\r\nhello", 400, "content_length"),
    "a length with a space inside": (POST + b"Content-Length: 1 0\r\n\r\nhello", 400, "content_length"),
    "a length with an underscore": (POST + b"Content-Length: 1_0\r\n\r\nhello", 400, "content_length"),
    "an empty length": (POST + b"Content-Length:\r\n\r\n", 400, "content_length"),
    "a length in other digits": (POST + b"Content-Length: \xd9\xa5\r\n\r\nhello", 400, "content_length"),
    "a length of 2^63": (POST + b"Content-Length: 9223372036854775808\r\n\r\n", 400, "content_length"),
    "a length of 2^64": (POST + b"Content-Length: 18446744073709551616\r\n\r\n", 400, "content_length"),
    "a length of 2^64 + 5": (POST + b"Content-Length: 18446744073709551621\r\n\r\nhello", 400, "content_length"),
    "a length after a form feed": (POST + b"Content-Length: \x0c5\r\n\r\nhello", 400, "content_length"),
    "length, then coding": (
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    "coding, then length": (
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    "a length of 0 and a coding": (
        POST + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    "a length and a coding in capitals": (
        POST + b"CONTENT-LENGTH: 5\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\n0\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    "a length and a coding that Connection names": (
        POST + b"Connection: transfer-encoding\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    "a length and a coding with a space before the colon": (
        POST + b"Content-Length: 5\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        400,
        "bad_field",
    ),
    "a length and identity": (
        POST + b"Content-Length: 5\r\nTransfer-Encoding: identity\r\n\r\nhello",
        400,
        "transfer_encoding",
    ),
    "gzip": (POST + b"Transfer-Encoding: gzip\r\n\r\n", 501, "transfer_encoding"),
    "identity": (POST + b"Transfer-Encoding: identity\r\n\r\n", 501, "transfer_encoding"),
    "gzip, chunked": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "transfer_encoding"),
    "gzip and chunked on two lines": (
        POST + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        501,
        "transfer_encoding",
    ),
    "identity, chunked": (POST + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", 501, "transfer_encoding"),
    "chunked with a prefix": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501, "transfer_encoding"),
    "chunked with a suffix": (POST + b"Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n", 501, "transfer_encoding"),
    "chunked that is not last": (POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400, "transfer_encoding"),
    "chunked, identity": (POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400, "transfer_encoding"),
    "chunked twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, "transfer_encoding"),
    "chunked twice on two lines": (
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    "chunked and a comma": (POST + b"Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", 400, "transfer_encoding"),
    "chunked with a parameter": (POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 400, "transfer_encoding"),
    "chunked in quotes": (POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 400, "transfer_encoding"),
    "chunked in single quotes": (POST + b"Transfer-Encoding: 'chunked'\r\n\r\n0\r\n\r\n", 501, "transfer_encoding"),
    "chunked in two words": (POST + b"Transfer-Encoding: chunked chunked\r\n\r\n0\r\n\r\n", 400, "transfer_encoding"),
    "chunked after a vertical tab": (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400, "bad_field"),
    "chunked before a vertical tab": (POST + b"Transfer-Encoding: chunked\x0b\r\n\r\n0\r\n\r\n", 400, "bad_field"),
    "chunked on a folded line": (POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400, "bad_field"),
    "an empty coding": (POST + b"Transfer-Encoding:\r\n\r\n", 400, "transfer_encoding"),
    "a coding with a space before the colon": (POST + b"Transfer-Encoding : chunked\r\n\r\n", 400, "bad_field"),
    "a coding whose name ends with a NUL": (POST + b"Transfer-Encoding\0: chunked\r\n\r\n0\r\n\r\n", 400, "bad_field"),
    "a coding whose name ends with a tab": (POST + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400, "bad_field"),
    "a coding behind a bare CR": (POST + b"X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_field"),
    "a coding behind a bare LF": (POST + b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_field"),
    "a length in quotes": (POST + b'Content-Length: "5"\r\n\r\nhello', 400, "content_length"),
    "a length with a parameter": (POST + b"Content-Length: 5;a\r\n\r\nhello", 400, "content_length"),
    "a line of the PROXY protocol": (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n", 501, "unknown_method"),
    "an answer": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 400, "bad_request_line"),
    "a coding in HTTP/1.0": (
        b"POST /x HTTP/1.0\r\nHost: payments\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    "a coding and a length in HTTP/1.0": (
        b"POST /x HTTP/1.0\r\nHost: payments\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    "a CONNECT with a body": (
        b"CONNECT payments:80 HTTP/1.1\r\nHost: payments:80\r\nContent-Length: 5\r\n\r\nhello",
        400,
        "connect_target",
    ),
    "a CONNECT without a port": (b"CONNECT payments HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "connect_target"),
    "a CONNECT to a URL": (b"CONNECT http://payments:80/ HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "connect_target"),
    "a CONNECT to a path": (b"CONNECT /x HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "connect_target"),
    "a CONNECT to port 0": (b"CONNECT payments:0 HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "connect_target"),
    "a CONNECT to port 65536": (b"CONNECT payments:65536 HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "connect_target"),
    "a CONNECT with userinfo": (b"CONNECT u@payments:80 HTTP/1.1\r\nHost: payments\r\n\r\n", 400, "connect_target"),
    "a CONNECT with a bad Host": (b"CONNECT payments:80 HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "host"),
}
BAD_CHUNKS = {
    "no number": b"xyz\r\nhello\r\n0\r\n\r\n",
    "an empty size": b"\r\nhello\r\n0\r\n\r\n",
    "a size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a size with a plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "a size with a minus": b"-5\r\nhello\r\n0\r\n\r\n",
    "a size after a space": b" 5\r\nhello\r\n0\r\n\r\n",
    "a size before a space": b"5 \r\nhello\r\n0\r\n\r\n",
    "a size before a tab": b"5\t\r\nhello\r\n0\r\n\r\n",
    "a size of 2^64 + 5": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "a size with an underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "a size that ends with LF": b"5\nhello\r\n0\r\n\r\n",
    "a size that ends with CR": b"5\rhello\r\n0\r\n\r\n",
    "a size that ends with CR CR LF": b"5\r\r\nhello\r\n0\r\n\r\n",
    "an extension with a CR": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "an extension with a LF": b"5;a\nhello\r\n0\r\n\r\n",
    "an extension with a NUL": b"5;a\x00\r\nhello\r\n0\r\n\r\n",
    "an extension without end": b"5;" + b"a" * 9000,
    "no CRLF after the bytes": b"5\r\nhello0\r\n\r\n",
    "two other bytes in place of the CRLF": b"5\r\nhelloXX0\r\n\r\n",
    "an extension with a line end in quotes": b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n',
    "a size of 2^63 + 5": b"8000000000000005\r\nhello\r\n0\r\n\r\n",
    "a LF after the bytes": b"5\r\nhello\n0\r\n\r\n",
    "a CR after the bytes": b"5\r\nhello\r0\r\n\r\n",
    "more bytes than the size": b"5\r\nhello!\r\n0\r\n\r\n",
    "a trailer without a colon": b"0\r\nX\r\n\r\n",
    "a trailer with a space before the colon": b"0\r\nX : a\r\n\r\n",
    "a folded trailer": b"0\r\nX: a\r\n b\r\n\r\n",
    "a trailer with a NUL": b"0\r\nX: a\x00\r\n\r\n",
    "a trailer that ends with LF": b"0\r\nX: a\n\r\n",
    "a trailer with a CR": b"0\r\nX: a\rb\r\n\r\n",
    "a last line that ends with LF": b"0\r\n\n",
}
REFUSED |= {f"a chunk: {name}": (CHUNKED + body, 400, "bad_chunk") for name, body in BAD_CHUNKS.items()}
GETS = {name: row[0] for name, row in REFUSED.items() if row[0].startswith(b"GET ")}


@pytest.mark.parametrize("door", ["own", "host"])
@pytest.mark.parametrize(("raw", "status", "reason"), REFUSED.values(), ids=REFUSED)
def test_it_is_answered_once_and_counted_and_what_follows_is_neither_answered_nor_forwarded(
    wire: Rig, raw: bytes, status: int, reason: str, door: str
) -> None:
    before = wire.rejections()

    answer = wire.refused(raw + GET + GET, door)

    assert answer.status == status
    assert answer.get("connection") == "close"
    assert answer.get("content-type") == "application/problem+json"
    assert answer.get("date")
    assert answer.all("content-length") == [str(len(answer.body))]
    problem = json.loads(answer.body)
    assert (problem["status"], problem["reason"]) == (status, reason)
    assert {name: count - before[name] for name, count in wire.rejections().items() if count != before[name]} == {
        reason: 1
    }
    assert wire.uncalled(0.01)


@pytest.mark.parametrize("body", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
def test_what_was_forwarded_before_a_bad_chunk_is_never_a_whole_request(wire: Rig, body: bytes) -> None:
    client = wire.client().send(CHUNKED + b"3\r\nabc\r\n")
    server = wire.server()
    server.until(b"3\r\nabc\r\n")

    client.send(body + GET)

    broken, _ = server.ending()
    answer = client.rest()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert b"0\r\n" not in broken
    assert b"HTTP" not in broken


@pytest.mark.parametrize("raw", GETS.values(), ids=GETS)
def test_a_refusal_of_a_head_request_has_no_body(wire: Rig, raw: bytes) -> None:
    answer = wire.refused(raw.replace(b"GET ", b"HEAD ", 1))

    assert answer.status >= 400
    assert answer.body == b""


@pytest.mark.parametrize("raw", [row[0] for row in REFUSED.values() if row[2] != "bad_chunk"][::6])
def test_a_refusal_is_the_same_behind_a_good_request(wire: Rig, raw: bytes) -> None:
    client = wire.client().send(GET + raw)
    server = wire.server()
    server.message()
    server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    assert client.message().body == b"ok"
    assert client.rest().count(b"Connection: close\r\n") == 1
    assert server.silent()


def test_a_client_that_goes_on_sending_after_a_refusal_still_reads_it(wire: Rig) -> None:
    client = wire.client().send(b"GET /x HTTP/1.1\r\nHost: a b\r\n\r\n")

    for _ in range(50):
        client.send(b"x" * 10_000)

    assert client.rest().startswith(b"HTTP/1.1 400 ")


def test_a_refused_connection_is_given_up_even_if_its_client_does_not_leave(wire: Rig) -> None:
    before = wire.metric("sidecar_downstream_connections")
    client = wire.client().send(b"bad\r\n\r\n")

    client.rest()

    wait_until(lambda: wire.metric("sidecar_downstream_connections") <= before)
