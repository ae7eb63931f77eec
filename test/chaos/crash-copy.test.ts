import { crashes } from "./crash.ts";

crashes(["object", "done"]);
