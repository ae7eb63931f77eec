import { crashes } from "./crash.ts";

crashes(["object", "standing", "done"]);
