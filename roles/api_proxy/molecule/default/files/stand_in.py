"""An API that takes websockets (`serve PORT`) and a client that asks for one (`ask ADDRESS CERTIFICATE`)."""

import socket
import ssl
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

REQUEST = "GET /live HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\n"


class Api(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Echo one line on a connection that was upgraded; else the request's headers, a line each."""
        upgraded = self.headers["Upgrade"] == "websocket" and self.headers["Connection"] == "upgrade"
        self.send_response(101 if upgraded else 200)
        if upgraded:
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
        self.end_headers()
        self.wfile.write(b"echo: " + self.rfile.readline() if upgraded else str(self.headers).encode())
        self.close_connection = True


def ask(address: str, certificate: str) -> str:
    context = ssl.create_default_context(cafile=certificate)
    with context.wrap_socket(socket.create_connection((address, 443), timeout=10), server_hostname=address) as line:
        line.sendall(REQUEST.format(address).encode())
        answer = line.recv(1000).decode()
        line.sendall(b"hello\n")
        while not answer.endswith("echo: hello\n") and (more := line.recv(1000)):
            answer += more.decode()
    return answer


if sys.argv[1] == "serve":
    HTTPServer(("127.0.0.1", int(sys.argv[2])), Api).serve_forever()
else:
    sys.stdout.write(ask(*sys.argv[2:]))
