/** Linux error numbers that the guest is told (negative). @spec LINUX-ERRNO */
export const EPERM = 1;
export const EAGAIN = 11;
export const EACCES = 13;
export const EINVAL = 22;
export const EMFILE = 24;
export const EOPNOTSUPP = 95;
export const EAFNOSUPPORT = 97;
export const EISCONN = 106;
export const ENOTCONN = 107;
export const ECONNREFUSED = 111;
export const EALREADY = 114;
