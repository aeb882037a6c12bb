mod check;
mod check_s;
mod check_t;
mod simplecheck;
