# protoc 3.21 (Debian 12) does not know the option debug_redact and stops on it. The wire format is
# the same without it; nothing redacts AuthConfig for us then, so PullImageRequest is never printed.
#   cmake -DIN=api.proto -DOUT=stripped.proto -P strip_redact.cmake
file(READ ${IN} text)
string(REPLACE " [debug_redact = true]" "" text "${text}")
file(WRITE ${OUT} "${text}")
