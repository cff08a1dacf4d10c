#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
static inline double clk(int c){struct timespec t;clock_gettime(c,&t);return t.tv_sec+t.tv_nsec*1e-9;}
static inline double now(void){return clk(CLOCK_MONOTONIC);}
static inline uint64_t rng(uint64_t*s){uint64_t x=*s;x^=x<<13;x^=x>>7;x^=x<<17;return *s=x;}
#define BEGIN double t0_=now(),c0_=clk(CLOCK_PROCESS_CPUTIME_ID)
#define END(name,chk) printf("BENCH %-10s %.4f cpu %.4f %llx\n",name,now()-t0_,clk(CLOCK_PROCESS_CPUTIME_ID)-c0_,(unsigned long long)(chk));fflush(stdout)
