//! Clocks that are off.

use satisflow_testkit::Program;

use crate::place::Place;

/// A clock that is off by `CLOCK_SHIFT_SECS`, for one process.
const SHIFTED_CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *now) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int failed = real(id, now);
  const char *shift = getenv("CLOCK_SHIFT_SECS");
  if (!failed && id == CLOCK_REALTIME && shift) now->tv_sec += atol(shift);
  return failed;
}
"#;

/// The program with a clock that is off.
pub fn shifted(place: &Place, secs: i64) -> Program {
    let (source, library) = (place.path().join("clock.c"), place.path().join("clock.so"));
    if !library.exists() {
        std::fs::write(&source, SHIFTED_CLOCK).unwrap();
        let built =
            std::process::Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
        assert!(built.unwrap().success());
    }
    let library = library.to_str().unwrap().to_owned();
    place.program.clone().with_environment(&[("LD_PRELOAD", library), ("CLOCK_SHIFT_SECS", secs.to_string())])
}
