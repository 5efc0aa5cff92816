#!/usr/bin/env bash
# Runs one Apache Kafka node on this machine until Ctrl-C, for trying things out: nothing is kept.
# PORT and the port after it are taken.
set -euo pipefail
port="${PORT:-9092}"
lib="$("$(dirname "$0")/fetch-kafka.sh")/lib/*"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$folder/data
num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
PROPERTIES
kafka() { java -Xms256m -Xmx512m -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$lib" "$@"; }
id=$(kafka kafka.tools.StorageTool random-uuid 2> /dev/null | tail -1)
kafka kafka.tools.StorageTool format -t "$id" -c "$folder/server.properties" > /dev/null
echo "Kafka on 127.0.0.1:$port until Ctrl-C" >&2
kafka kafka.Kafka "$folder/server.properties"
