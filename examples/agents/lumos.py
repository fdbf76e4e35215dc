"""A LUMOS server as an outside agent sees it: a stream of entries that resumes, and a few calls.

Python's standard library, nothing else. Copy it; it is meant to be read.
"""

import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request

# A stream that is silent for longer than this has ended: the server says something every 15 seconds.
SILENCE_S = 60


class Refused(Exception):
    """The server's answer was no: `code` has a page in docs/errors/."""

    def __init__(self, status, problem):
        super().__init__(f"{status} {problem.get('code')}: {problem.get('detail')}")
        self.status = status
        self.code = problem.get("code")


class Lumos:
    """A server, asked with an agent's token."""

    def __init__(self, address, token):
        self.address = address.rstrip("/")
        self.token = token

    def _open(self, method, path, body=None, headers=None, timeout=SILENCE_S):
        data = None if body is None else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        if data is not None:
            sent["Content-Type"] = "application/json"
        request = urllib.request.Request(self.address + path, data, sent, method=method)
        try:
            return urllib.request.urlopen(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            try:
                problem = json.load(error)
            except ValueError:
                problem = {"code": "bad-request", "detail": str(error)}
            raise Refused(error.code, problem) from None

    def get(self, *path):
        """Reads JSON; each part of the path is a name."""
        with self._open("GET", _path(path)) as answer:
            return json.load(answer)

    def post(self, *path, body, key):
        """Asks for something. Under the same key it happens once, however often it is asked."""
        with self._open("POST", _path(path), body, {"Idempotency-Key": key}) as answer:
            return json.load(answer)

    def put(self, *path, body):
        """Sets something."""
        with self._open("PUT", _path(path), body) as answer:
            return json.load(answer)

    def follow(self, cursor, types, handle, last=None):
        """Has every entry after the cursor handled, for ever or up to a last one. An entry is handled at least once:
        where the server or this program ends in the middle, it comes again."""
        while last is None or cursor.last is None or cursor.last < last:
            try:
                for index, entry in self._stream(cursor, types):
                    if entry is not None:
                        handle(entry)
                    cursor.save(index)
                    self.put("runtime", "acknowledgement", body={"entry": index})
                    if last is not None and index >= last:
                        return
            except Refused as refused:
                # 409 `ahead-of-ledger`: the server lost entries that we saw. Nobody goes on in silence.
                if refused.status not in (429, 503):
                    raise
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(1)

    def last_entry(self):
        """The last entry that is signed now (C2SP tlog-checkpoint: the size is the second line)."""
        with self._open("GET", "/ledger/checkpoint") as answer:
            return int(answer.read().split(b"\n")[1]) - 1

    def _stream(self, cursor, types):
        asked = {"type": types}
        if cursor.last is None:
            asked["from"] = 0
        path = "/api/v1/events?" + urllib.parse.urlencode(asked)
        headers = {} if cursor.last is None else {"Last-Event-ID": str(cursor.last)}
        with self._open("GET", path, headers=headers) as stream:
            index, data = None, []
            for line in stream:
                line = line.decode().rstrip("\n")
                field, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if field == "id":
                    index = int(value)
                elif field == "data":
                    data.append(value)
                elif line == "" and index is not None:
                    # Without data, entries that are not for us were passed over.
                    yield index, json.loads("\n".join(data)) if data else None
                    index, data = None, []


class Cursor:
    """The last entry that was dealt with, kept in a file."""

    def __init__(self, path):
        self.path = path
        try:
            with open(path, encoding="ascii") as file:
                self.last = int(file.read())
        except FileNotFoundError:
            self.last = None

    def save(self, index):
        """Durable before it returns: the file is either as it was or as it is to be."""
        fresh = self.path + ".new"
        with open(fresh, "w", encoding="ascii") as file:
            file.write(str(index))
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self.path)
        self.last = index


def _path(parts):
    return "/api/v1/" + "/".join(urllib.parse.quote(part, safe="") for part in parts)
