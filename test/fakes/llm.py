# SPDX-License-Identifier: MIT
"""A stand-in for a language model: the least of an OpenAI-style chat API on loopback.

Whoever offers a tool named `finish` gets a call of it, with a value for everything its schema requires;
all others get a sentence.  With `say_first` the first answer to a conversation with tools is a mere
sentence, as from a model that forgets to finish.  Requests are kept for the test to look at.  Every answer
tells of tokens, so that there is something to count.

    python3 test/fakes/llm.py      serves until its standard input ends; prints its address
"""

import http.server
import json
import sys
import threading


def value_for(schema, root):
    """Something that a JSON schema accepts."""
    reference = schema.get("$ref")
    if reference:
        return value_for(root.get("$defs", {}).get(reference.rpartition("/")[2], {}), root)
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    for one_of in ("anyOf", "oneOf"):
        if schema.get(one_of):
            return value_for(schema[one_of][0], root)
    kind = schema.get("type", "string")
    if kind == "object":
        return {name: value_for(schema["properties"][name], root) for name in schema.get("required", [])}
    return {"string": "all is done", "integer": 1, "number": 1, "boolean": True, "array": [], "null": None}[kind]


class Model:
    def __init__(self, say_first=False):
        self.requests = []
        self.say_first = say_first
        model = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
                model.requests.append(request)
                answer = json.dumps(model.answer(request)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request):
        tools = {tool["function"]["name"]: tool["function"] for tool in request.get("tools") or []}
        message = {"role": "assistant", "content": "I am only a stand-in."}
        reason = "stop"
        said = any(m.get("role") == "assistant" for m in request.get("messages", []))
        if "finish" in tools and (said or not self.say_first):
            parameters = tools["finish"]["parameters"]
            message["content"] = None
            message["tool_calls"] = [{
                "id": f"call_{len(self.requests)}",
                "type": "function",
                "function": {"name": "finish", "arguments": json.dumps(value_for(parameters, parameters))},
            }]
            reason = "tool_calls"
        return {
            "id": f"chatcmpl-{len(self.requests)}",
            "object": "chat.completion",
            "created": 1,
            "model": request.get("model", "stand-in"),
            "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
        }

    def close(self):
        self.server.shutdown()
        self.server.server_close()


if __name__ == "__main__":
    it = Model(say_first="--say-first" in sys.argv)
    print(it.url, flush=True)
    sys.stdin.read()
    it.close()
