#!/usr/bin/env bash
# Holds the OpenAPI document against OpenAPI 3.1's own schema, by a validator from npm. The suite
# compares it with the routes and with every reply.
set -eu
cd "$(dirname "$0")/.."
document=$PWD/${1:-build}/openapi.json folder=${1:-build}/openapi-check
mkdir -p "$folder"
cd "$folder"
[ -d node_modules/@seriousme/openapi-schema-validator ] ||
    npm install --ignore-scripts --no-audit --no-fund --silent @seriousme/openapi-schema-validator@2
cat >check.mjs <<'END'
import { Validator } from '@seriousme/openapi-schema-validator';
import { readFileSync } from 'node:fs';

const validator = new Validator();
const result = await validator.validate(JSON.parse(readFileSync(process.argv[2], 'utf8')));
console.log(`OpenAPI ${validator.version}: ${result.valid ? 'valid' : 'not valid'}`);
if (!result.valid) {
    console.log(JSON.stringify(result.errors, null, 1));
    process.exit(1);
}
END
node check.mjs "$document"
