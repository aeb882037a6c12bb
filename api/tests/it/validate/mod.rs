mod check;
mod check_s;
mod check_t;
mod repeat;
mod simplecheck;
