#!/bin/sh
# $UNSTICK_TRACED under callgrind, for `make order`. The bench ends it with SIGKILL, so it writes down what ran every so
# often: $UNSTICK_TRACES.PID.NUMBER.
exec valgrind --quiet --tool=callgrind --demangle=no --dump-every-bb=20000000 \
  --callgrind-out-file="$UNSTICK_TRACES.%p" "$UNSTICK_TRACED" "$@"
