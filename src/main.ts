#!/usr/bin/env node
import { runAsProcess } from "./cli/entrance.ts";

await runAsProcess(process.argv.slice(2));
