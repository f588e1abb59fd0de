// A library that starts like a driver and then has none of its functions.
extern "C" __attribute__((visibility("default"))) int cuInit(unsigned) { return 0; }

extern "C" __attribute__((visibility("default"))) int cuDriverGetVersion(int* version) {
  *version = 13000;
  return 0;
}
