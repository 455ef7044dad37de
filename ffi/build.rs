//! Gives the library a name of its own, so that a second `dlopen` by that name in the same process
//! (a Worker's, or one after the file was deleted) finds the library that is already loaded.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libchronik_ffi.so.1");
    }
}
