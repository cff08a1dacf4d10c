/** Linux error numbers, as the C functions return them (negative). @spec LINUX-ERRNO */
export const ENOENT = 2;
export const EEXIST = 17;
export const ENODEV = 19;
export const EINVAL = 22;
export const ENOTTY = 25;
export const ENOTDIR = 20;
