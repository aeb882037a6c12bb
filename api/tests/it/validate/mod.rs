mod check;
mod check_s;
mod simplecheck;
