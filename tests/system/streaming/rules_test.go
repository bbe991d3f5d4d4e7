package streaming

import (
	"fmt"
	"io"

	"crisp.test/tests/system/host"
)

const (
	socketV4   = "websocket v4.channel.k8s.io"
	success    = `{"metadata":{},"status":"Success"}`
	exitSeven  = `{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: 7","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}`
	port7000   = "\x58\x1b" // little-endian
	finOfFirst = "\x01\x00\x00\x00"
)

// askExit runs a program whose exit code is 7 and that reads nothing.
var askExit = askExec("sh", "-c", "echo bye; exit 7")

// first wants these frames before anything is said.
func first(frames []string, text string) func(*raw) {
	return func(r *raw) {
		r.t.Helper()
		for _, want := range frames {
			if got := r.frame(); got != want {
				r.t.Errorf("%q comes, not %q", got, want)
			}
		}
		io.WriteString(r, text)
	}
}

func endOf(stream uint32) string { return be32(stream) + finOfFirst }

// ruleCases: what the protocol's page says of a session that goes well; TestStreamRawCases plays them among the others.
var ruleCases = []rawCase{
	{"spdy: end of a session, version 4", askExit, spdyExec, running(""), []string{"DATA 5 [bye\n]", "DATA 5 FIN", "DATA 1 [" + exitSeven + "]", "DATA 1 FIN", "GOAWAY 0"}, false},
	{"spdy: end of a session, version 3", askExit, "SPDY/3.1 v3.channel.k8s.io", running(""), []string{"DATA 5 FIN", "DATA 1 [command terminated with exit code 7]", "DATA 1 FIN", "GOAWAY 0"}, false},
	{"spdy: end of a session, version 1", askExit, "SPDY/3.1 channel.k8s.io", running(""), []string{"DATA 5 FIN", "DATA 1 [command terminated with exit code 7]", "DATA 1 FIN", "GOAWAY 0"}, false},
	{"spdy: stdin's end is half of the connection", askExec("sh", "-c", "cat >/dev/null; echo more"), spdyExec, running(spdyData(3, "word") + endOf(3)),
		[]string{"DATA 5 [more\n]", "DATA 1 [" + success + "]", "GOAWAY 0"}, false},
	{"spdy: headers nobody wants are inflated", askExec("cat"), spdyExec, func(r *raw) {
		r.open("error", "stdin")
		io.WriteString(r, r.headers(1, "a", "b")+r.syn(5, "streamtype", "stdout")+spdyData(3, "word"))
	}, []string{"SYN_REPLY 5", "DATA 5 [word]"}, true},
	{"spdy: 65 headers", askExec("cat"), spdyExec, func(r *raw) {
		var many []string
		for i := range 65 {
			many = append(many, fmt.Sprint("a", i), "b")
		}
		io.WriteString(r, r.syn(1, many...))
	}, []string{"GOAWAY 1"}, false},
	{"websocket: from the first message to the last", askExit, socketV5, first([]string{"2 [\x01]"}, ""), []string{"2 [\x01bye\n]", "2 [\x03" + exitSeven + "]", "close 1000"}, false},
	{"websocket: v5 ends stdin", askExec("cat"), socketV5, say(masked(0x82, "\x00word") + masked(0x82, "\xff\x00")), []string{"2 [\x01word]", "2 [\x03" + success + "]", "close 1000"}, false},
	{"websocket: v4 has no end of stdin", askExec("cat"), socketV4, say(masked(0x82, "\xff\x00") + masked(0x82, "\x00word")), []string{"2 [\x01word]"}, true},
	{"websocket: v4 ends with its status", askExit, socketV4, first([]string{"2 [\x01]"}, ""), []string{"2 [\x03" + exitSeven + "]", "close 1000"}, false},
	{"websocket: v1 ends with a text", askExit, "websocket channel.k8s.io", first([]string{"2 [\x01]"}, ""), []string{"2 [\x03command terminated with exit code 7]", "close 1000"}, false},
	{"websocket: without a name", askExec("cat"), "websocket", first([]string{"2 [\x01]"}, masked(0x82, "\x00word")), []string{"2 [\x01word]"}, true},
	{"websocket: base64", askExec("cat"), "websocket base64.channel.k8s.io", first([]string{"1 [1]"}, masked(0x81, "0aGVsbG8=")), []string{"1 [1aGVsbG8=]"}, true},
	{"websocket: v4 base64", askExec("sh", "-c", "x=$(head -c5); echo -n $x"), socketB64, first([]string{"1 [1]"}, masked(0x81, "0aGVs")+masked(0x81, "0bG8=")),
		[]string{"1 [1aGVsbG8=]", "1 [3eyJtZXRhZGF0YSI6e30sInN0YXR1cyI6IlN1Y2Nlc3MifQ==]", "close 1000"}, false},
	{"websocket: size of a terminal", askTerminal("sh", "-c", "until [ \"$(stty size)\" = '77 99' ]; do sleep 0.02; done"), socketV5, say(masked(0x82, "\x04{\"Width\":99,\"Height\":77}")), []string{"close 1000"}, false},
	{"forward: ends one after the other", askForward, spdyForward, func(r *raw) {
		pair(r, 1, "0", "7000")
		io.WriteString(r, endOf(1)+spdyData(3, "word")+endOf(3))
	}, []string{"SYN_REPLY 1", "SYN_REPLY 3", "DATA 3 [word]", "DATA 3 FIN", "DATA 1 FIN"}, true},
	{"forward: without request ids", askForward, spdyForward, func(r *raw) {
		io.WriteString(r, r.syn(1, "port", "7000", "streamtype", "error")+r.syn(3, "port", "7000", "streamtype", "data")+spdyData(3, "word"))
	}, []string{"DATA 3 [word]"}, true},
	{"forward: IPv6 where IPv4 is refused", askForward, spdyForward, func(r *raw) {
		pair(r, 1, "0", "7006")
		io.WriteString(r, spdyData(3, "word"))
	}, []string{"DATA 3 [word]"}, true},
	{"forward: 1,025th pair", askForward, spdyForward, func(r *raw) {
		for i := range uint32(1025) {
			io.WriteString(r, r.syn(2*i+1, "requestid", fmt.Sprint(i), "port", "7000", "streamtype", "error"))
		}
	}, []string{"SYN_REPLY 2047", "RST 2049 3"}, true},
	{"forward: GOAWAY", askForward, spdyForward, say(control(7, be32(0, 0))), nil, false},
	{"forward: by channels", askForward, socketV4, first([]string{"2 [\x00" + port7000 + "]", "2 [\x01" + port7000 + "]"}, masked(0x82, "\x00word")), []string{"2 [\x00word]"}, true},
	{"forward: by channels without a name", askForward, "websocket", first([]string{"2 [\x00" + port7000 + "]"}, masked(0x82, "\x00word")), []string{"2 [\x00word]"}, true},
	{"forward: by channels in base64", askForward, socketB64, first([]string{"1 [0WBs=]", "1 [1WBs=]"}, masked(0x81, "0d29yZA==")), []string{"1 [0d29yZA==]"}, true},
	{"forward: closed port by channels", askForwardTo(7001), socketV4, first([]string{"2 [\x00\x59\x1b]", "2 [\x01\x59\x1b]"}, ""),
		[]string{"2 [\x01forward port 7001: connect to port 7001 on localhost: ECONNREFUSED (Connection refused)]", "close 1000"}, false},
	{"forward: tunnel in odd pieces", askForward, "websocket SPDY/3.1+portforward.k8s.io", func(r *raw) {
		var bytes string
		for i, kind := range []string{"error", "data"} {
			bytes += r.syn(uint32(2*i+1), "requestid", "0", "port", "7000", "streamtype", kind)
		}
		bytes += spdyData(3, "x") // of more there could be more frames
		for len(bytes) > 0 {
			n := min(7, len(bytes))
			io.WriteString(r, masked(0x82, bytes[:n]))
			bytes = bytes[n:]
		}
	}, []string{"2 [" + spdyData(3, "x") + "]"}, true},
}

func askForwardTo(port int32) streamURL {
	return func(h *host.Host, pod *host.Pod, _ string) string { return forwardURL(h, pod, port) }
}
