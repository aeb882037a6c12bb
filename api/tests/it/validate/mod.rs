mod check;
mod check_s;
mod repeat;
mod simplecheck;
