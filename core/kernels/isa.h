/* isa.h - names of what is compiled once per instruction set: KERNEL(product) is product_avx2 where
 * the Makefile sets -DKERNEL_ISA=avx2. */
#ifndef STRIDED_ISA_H
#define STRIDED_ISA_H

#define KERNEL_PASTE(name, isa) name##_##isa
#define KERNEL_EXPAND(name, isa) KERNEL_PASTE(name, isa)
#define KERNEL(name) KERNEL_EXPAND(name, KERNEL_ISA)
/* The same code with half the vector, where there is one; for few columns. */
#ifdef KERNEL_ISA_NARROW
#define KERNEL_NARROW(name) KERNEL_EXPAND(name, KERNEL_ISA_NARROW)
#endif

#endif
