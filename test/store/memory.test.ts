import { MemoryStore } from "../../src/store/memory.ts";
import { storeSuite } from "./store.suite.ts";

storeSuite("memory", async () => ({ store: new MemoryStore(), cleanup: async () => {} }), { largeBytes: 5_000_000 });
