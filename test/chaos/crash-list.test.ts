import { crashes } from "./crash.ts";

crashes(["page", "split"]);
