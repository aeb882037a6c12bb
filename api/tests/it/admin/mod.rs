mod init;
mod lifecycle;
mod session;
mod set;
mod show;
mod types;
