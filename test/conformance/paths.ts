/** Where the conformance and bench runs keep what they install and write; all of it is ignored by git. */
import { join } from "node:path";

export const PROJECT_DIRECTORY = join(import.meta.dir, "../..");
export const CLIENTS_DIRECTORY = join(import.meta.dir, "clients");
export const CACHE_DIRECTORY = join(PROJECT_DIRECTORY, ".cache/conformance");

export const PYTHON = join(CACHE_DIRECTORY, "python/bin/python");
export const NODE_DIRECTORY = join(CACHE_DIRECTORY, "node");
export const JARS_DIRECTORY = join(CACHE_DIRECTORY, "java/jars");
export const CLASSES_DIRECTORY = join(CACHE_DIRECTORY, "java/classes");
export const GO_AGENT = join(CACHE_DIRECTORY, "go/agent");

/** The Node that the Node clients need, from the registry like they are; newer than many machines have. */
export const NODE = join(NODE_DIRECTORY, `node_modules/node-linux-${process.arch}/bin/node`);
