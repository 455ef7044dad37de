/** Lets TypeScript import the shim's path; the file loader turns a library into the path it lies at. */
declare module "*.so" {
  const path: string;
  // biome-ignore lint/style/noDefaultExport: the file loader gives its path this way.
  export default path;
}
