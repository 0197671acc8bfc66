/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stub's two ends: where a multiboot loader enters it, in 32-bit protected mode, and the way
 * from there to a payload's entry, in 64-bit user mode. In between is stub.c.
 */
#include "layout.h"

#define MULTIBOOT_MAGIC 0x1badb002
#define MULTIBOOT_FLAGS 0x3		/* modules at page boundaries; tell how much memory there is */

#define SELECTOR_CODE	   0x08
#define SELECTOR_USER_DATA 0x2b
#define SELECTOR_USER_CODE 0x33
#define SELECTOR_TSS	   0x38

#define MSR_EFER     0xc0000080
#define EFER_BITS    0x901		/* no-execute, long mode, SYSCALL; LMA comes with paging */
#define CR0_BITS     0x80050033
#define CR4_BITS     0x620
#define CR4_OSXSAVE  0x40000
#define CPUID_XSAVE  (1 << 26)
#define XCR0_NOT_AMX 0xfff9ffff
#define STACK_BYTES  0x10000

	.section .multiboot, "a", @progbits
	.balign	4
	.long	MULTIBOOT_MAGIC
	.long	MULTIBOOT_FLAGS
	.long	-(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

	.text
	.code32
	.globl	stub_start
stub_start:
	cld
	mov	$stack_top, %esp
	push	%ebx				/* the loader's information */
	call	stub_prepare
	mov	%eax, %ebp			/* the payload's entry point */

	lgdt	gdt_pointer
	mov	$CR4_BITS, %eax
	mov	%eax, %cr4
	mov	$LAYOUT_PAGE_TABLES, %eax
	mov	%eax, %cr3
	mov	$MSR_EFER, %ecx
	mov	$EFER_BITS, %eax
	xor	%edx, %edx
	wrmsr
	mov	$CR0_BITS, %eax
	mov	%eax, %cr0
	ljmp	$SELECTOR_CODE, $long_mode

	.code64
long_mode:
	mov	$SELECTOR_TSS, %eax
	ltr	%ax
	mov	$1, %eax
	cpuid
	test	$CPUID_XSAVE, %ecx
	jz	1f
	mov	$CR4_BITS + CR4_OSXSAVE, %eax
	mov	%rax, %cr4
	mov	$0xd, %eax
	xor	%ecx, %ecx
	cpuid
	and	$XCR0_NOT_AMX, %eax
	xor	%edx, %edx
	xor	%ecx, %ecx
	xsetbv
1:
	mov	$SELECTOR_USER_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %fs
	mov	%eax, %gs
	push	$SELECTOR_USER_DATA
	push	$LAYOUT_STACK + STACK_BYTES - 8
	push	$2				/* rflags */
	push	$SELECTOR_USER_CODE
	push	%rbp
	mov	$LAYOUT_START_INFO, %edi
	xor	%esi, %esi
	xor	%eax, %eax
	xor	%ebx, %ebx
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%ebp, %ebp
	iretq

	.section .rodata
gdt_pointer:
	.word	LAYOUT_GDT_BYTES - 1
	.long	LAYOUT_GDT

	.bss
	.balign	16
	.skip	4096
stack_top:

	.section .note.GNU-stack, "", @progbits
