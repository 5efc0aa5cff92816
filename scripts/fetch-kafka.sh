#!/usr/bin/env bash
# Fetches Apache Kafka from Maven Central into a folder, once. Prints the folder.
set -euo pipefail
version=4.3.1
target="${CARGO_TARGET_DIR:-target}"
folder="${1:-$target/kafka-$version}"
if [ ! -f "$folder/complete" ]; then
  command -v mvn > /dev/null || { echo "fetch-kafka: Maven (mvn) is missing; 'make setup' installs it" >&2; exit 1; }
  mkdir -p "$folder"
  cat > "$folder/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>satisflow.test</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
  (cd "$folder" && mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >&2)
  touch "$folder/complete"
fi
cd "$folder" && pwd
