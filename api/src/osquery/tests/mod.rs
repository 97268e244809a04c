mod answer;
mod carve;
mod distributed;
mod enroll;
mod log;
mod properties;
mod rows;
mod scan;
