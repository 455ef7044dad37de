/**
 * Where objects lie, as a person writes it:
 *
 *   /absolute/directory, or file:///absolute/directory
 *   s3://bucket/prefix?endpoint=https://host:port&region=name&path-style=true
 *
 * Without `endpoint` it is Amazon's, and without `region` the one of the AWS settings of this machine. Credentials
 * never stand here: they come from the environment, the AWS files, or the machine's role.
 */

import { resolve } from "node:path";
import { isObjectKey } from "./object-store.ts";

export interface S3Location {
  readonly kind: "s3";
  readonly bucket: string;
  /** Without slashes at its ends; may be empty. */
  readonly prefix: string;
  readonly endpoint?: string;
  readonly region?: string;
  /** `https://host/bucket` instead of `https://bucket.host`. */
  readonly isPathStyle: boolean;
}

export type ObjectStoreLocation =
  | S3Location
  | { readonly kind: "file"; readonly directory: string };

/** A sentence about what is wrong with what a person wrote; it repeats no secrets. */
export class ObjectStoreUrlError extends Error {
  override readonly name = "ObjectStoreUrlError";
}

const PARAMETERS = ["endpoint", "region", "path-style"];
/** As AWS has it, and a little more for others: 3 to 63 letters, digits, dots, hyphens. */
const BUCKET = /^[a-zA-Z0-9][\w.-]{1,61}[a-zA-Z0-9]$/;
const REGION = /^[a-z0-9-]{1,64}$/i;

/** @throws ObjectStoreUrlError */
export function parseObjectStoreUrl(written: string): ObjectStoreLocation {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(written)?.[1]?.toLowerCase();
  if (scheme === undefined) return { kind: "file", directory: resolve(written) };
  if (scheme === "file") return fileLocation(urlOf(written));
  if (scheme === "s3") return s3Location(urlOf(written));
  throw new ObjectStoreUrlError(
    `There is no object store ${scheme}://; there are file:// and s3://.`,
  );
}

/** What a store at `location` is called. */
export function objectStoreName(location: ObjectStoreLocation): string {
  if (location.kind === "file") return `file://${location.directory}`;
  return `s3://${location.bucket}${location.prefix === "" ? "" : `/${location.prefix}`}`;
}

function urlOf(written: string): URL {
  const url = URL.parse(written);
  if (url === null)
    throw new ObjectStoreUrlError("The URL of the object store can't be understood.");
  if (url.username !== "" || url.password !== "") {
    throw new ObjectStoreUrlError(
      "The URL of the object store must not hold credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, " +
        "or use a profile or role.",
    );
  }
  if (url.hash !== "") throw new ObjectStoreUrlError("The URL of the object store has a # part.");
  return url;
}

function fileLocation(url: URL): ObjectStoreLocation {
  if (url.host !== "") {
    throw new ObjectStoreUrlError("file:// wants an absolute path: file:///directory.");
  }
  if (url.search !== "") throw new ObjectStoreUrlError("file:// has no parameters.");
  const directory = decoded(url.pathname);
  if (directory === "/") throw new ObjectStoreUrlError("file:// wants a directory.");
  return { kind: "file", directory: resolve(directory) };
}

function s3Location(url: URL): S3Location {
  if (!BUCKET.test(url.host)) {
    throw new ObjectStoreUrlError("s3:// wants the name of a bucket: s3://bucket/prefix.");
  }
  const prefix = decoded(url.pathname).replace(/^\/+|\/+$/g, "");
  if (prefix !== "" && !isObjectKey(prefix)) {
    throw new ObjectStoreUrlError(
      `The prefix ${JSON.stringify(prefix)} can't be: parts between slashes, of letters, digits and - _ . = + @ ,`,
    );
  }
  const parameters = parametersOf(url);
  const [endpoint, region] = [parameters.get("endpoint"), parameters.get("region")];
  if (endpoint !== undefined) checkEndpoint(endpoint);
  if (region !== undefined && !REGION.test(region)) {
    throw new ObjectStoreUrlError("region must be a name, as in region=eu-central-1.");
  }
  return {
    ...{ kind: "s3", bucket: url.host, prefix },
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    isPathStyle: pathStyleOf(parameters.get("path-style")),
  };
}

function parametersOf(url: URL): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const [name, value] of url.searchParams) {
    if (!PARAMETERS.includes(name)) {
      throw new ObjectStoreUrlError(
        `s3:// has no parameter ${JSON.stringify(name)}; there are ${PARAMETERS.join(", ")}.`,
      );
    }
    if (parameters.has(name)) throw new ObjectStoreUrlError(`s3:// has ${name} twice.`);
    parameters.set(name, value);
  }
  return parameters;
}

function checkEndpoint(written: string): void {
  const url = URL.parse(written);
  const isHttp = url?.protocol === "http:" || url?.protocol === "https:";
  if (url === null || !isHttp || url.pathname !== "/" || url.search + url.hash !== "") {
    throw new ObjectStoreUrlError(
      "endpoint must be http:// or https:// with a host, and nothing more.",
    );
  }
  if (url.username !== "" || url.password !== "") {
    throw new ObjectStoreUrlError("endpoint must not hold credentials.");
  }
}

function pathStyleOf(written: string | undefined): boolean {
  if (written === undefined || written === "false") return false;
  if (written === "true") return true;
  throw new ObjectStoreUrlError("path-style must be true or false.");
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch (cause) {
    throw new ObjectStoreUrlError("The URL of the object store has a broken % in it.", { cause });
  }
}
