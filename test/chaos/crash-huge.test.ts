import { crashes } from "./crash.ts";

crashes(["big"]);
