"""What ranks on other hosts tell the launcher."""

import json
import socket

from shelfcast.train.relay import listening, tell


def test_what_ranks_tell_arrives_in_order_and_what_others_send_does_not():
    heard: list[dict[str, object]] = []
    with listening("127.0.0.1", "localhost", heard.append) as address:
        tell(address, {"say": "epoch 1 of 2"})
        for sent in (b"GET / HTTP/1.1\r\n\r\n", b"[]\n", json.dumps({"token": "guessed", "say": "?"}).encode() + b"\n"):
            with socket.create_connection((address["host"], address["port"])) as other:
                other.sendall(sent)
                other.shutdown(socket.SHUT_WR)
                other.recv(1)
        tell(address, {"error": {"rank": 1}})

    assert heard == [{"say": "epoch 1 of 2"}, {"error": {"rank": 1}}]


def test_what_cannot_reach_the_launcher_stands_in_the_ranks_output(capsys):
    with listening("127.0.0.1", "localhost", print) as address:
        pass

    tell(address, {"say": "epoch 1 of 2"})

    assert "epoch 1 of 2" in capsys.readouterr().out
