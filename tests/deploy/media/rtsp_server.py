"""A camera on a network: RTSP 1.0 to one client, H.264 in RTP over the same connection, 25 frames a second.

    python rtsp_server.py [FRAMES]

It tells the port that it listens on. Pictures are 96x64, the upper half of one class's colour and the lower half of
another's. After FRAMES it hangs up.
"""

import socket
import sys
import threading
import time
from typing import Any

import av
import numpy as np

SDP = "\r\n".join(
    (
        "v=0",
        "o=- 0 0 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "m=video 0 RTP/AVP 96",
        "a=rtpmap:96 H264/90000",
        "a=control:0",
        "",
    )
)
ANSWERS = {
    "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n",
    "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n\r\n{SDP}",
    "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n\r\n",
    "PLAY": "Session: 1\r\n\r\n",
}


def serve(frames: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        client, _ = server.accept()
    asked = client.makefile("rb")
    while True:
        request = b"".join(iter(asked.readline, b"\r\n")).decode()
        method = request.split(" ")[0]
        number = next(line for line in request.splitlines() if line.startswith("CSeq"))
        if method == "SETUP" and "RTP/AVP/TCP" not in request:
            client.sendall(f"RTSP/1.0 461 Unsupported Transport\r\n{number}\r\n\r\n".encode())
            continue
        client.sendall(f"RTSP/1.0 200 OK\r\n{number}\r\n{ANSWERS[method]}".encode())
        if method == "PLAY":
            break
    packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    packets.bind(("127.0.0.1", 0))
    threading.Thread(target=forward, args=(packets, client), daemon=True).start()
    encode(packets.getsockname()[1], frames)
    client.close()


def forward(packets: socket.socket, client: Any) -> None:
    """Each RTP packet, with its length in front, to the client."""
    while True:
        packet = packets.recv(65536)
        client.sendall(b"$\0" + len(packet).to_bytes(2, "big") + packet)


def encode(port: int, frames: int) -> None:
    colors = np.array([(70, 130, 180), (128, 64, 128)], np.uint8)
    picture = av.VideoFrame.from_ndarray(colors[np.repeat([0, 1], 32)[:, None].repeat(96, 1)], format="rgb24")
    with av.open(f"rtp://127.0.0.1:{port}?pkt_size=1200", "w", format="rtp") as container:
        stream = container.add_stream("libx264", rate=25, options={"tune": "zerolatency", "g": "5"})
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for _ in range(frames):
            container.mux(stream.encode(picture))
            time.sleep(0.04)


if __name__ == "__main__":
    serve(int(sys.argv[1]) if len(sys.argv) > 1 else 10**9)
