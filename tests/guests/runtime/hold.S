/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three places where a payload spends its time (writing a page, spinning, waiting in a call),
 * each with a known value in every general register that the place itself does not need. See
 * registers.h.
 *
 * Each function takes in rdi a struct held: 12 values to hold, then room for the 12 values found
 * afterwards. The place itself uses rax, rcx, rdx and the stack only; losing one of those shows in
 * what it does.
 */

	.macro	HOLD_BEGIN
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdi			/* struct held; HOLD_END pops it */
	.endm

	/* Loads all 12; whatever came in rsi and rdi must have been moved away before. */
	.macro	HOLD_LOAD
	mov	0(%rdi), %rbx
	mov	8(%rdi), %rbp
	mov	16(%rdi), %rsi
	mov	32(%rdi), %r8
	mov	40(%rdi), %r9
	mov	48(%rdi), %r10
	mov	56(%rdi), %r11
	mov	64(%rdi), %r12
	mov	72(%rdi), %r13
	mov	80(%rdi), %r14
	mov	88(%rdi), %r15
	mov	24(%rdi), %rdi
	.endm

	.macro	HOLD_END
	pop	%rdx
	mov	%rbx, 96+0(%rdx)
	mov	%rbp, 96+8(%rdx)
	mov	%rsi, 96+16(%rdx)
	mov	%rdi, 96+24(%rdx)
	mov	%r8, 96+32(%rdx)
	mov	%r9, 96+40(%rdx)
	mov	%r10, 96+48(%rdx)
	mov	%r11, 96+56(%rdx)
	mov	%r12, 96+64(%rdx)
	mov	%r13, 96+72(%rdx)
	mov	%r14, 96+80(%rdx)
	mov	%r15, 96+88(%rdx)
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret
	.endm

	.macro	FUNCTION name
	.globl	\name
	.type	\name, @function
	.balign	16
\name:
	.endm

	.text

	/*
	 * void hold_write(struct held *, uint64_t *page, uint64_t first_word, uint64_t increment)
	 *
	 * Fills a page with words, each the one before plus the increment (pattern.h).
	 */
	FUNCTION hold_write
	HOLD_BEGIN
	mov	%rdx, %rax
	mov	%rsi, %rdx
	lea	4096(%rsi), %rsi
	push	%rsi			/* the end of the page */
	HOLD_LOAD
1:
	.irp	offset, 0, 8, 16, 24, 32, 40, 48, 56
	mov	%rax, \offset(%rdx)
	add	%rcx, %rax
	.endr
	add	$64, %rdx
	cmp	(%rsp), %rdx
	jne	1b
	add	$8, %rsp
	HOLD_END
	.size	hold_write, . - hold_write

	/*
	 * void hold_spin(struct held *, uint64_t *last, uint64_t until, uint64_t limit)
	 *
	 * Reads the TSC again and again, keeping the last reading in *last, until a reading reaches `until`.
	 * A reading that lies before the last one, or more than `limit` after it, ends the spin and
	 * is not kept: the caller's next gap_read() then meets the same gap, and counts it.
	 */
	FUNCTION hold_spin
	HOLD_BEGIN
	push	%rsi			/* 16(%rsp): last */
	push	%rdx			/* 8(%rsp): until */
	push	%rcx			/* 0(%rsp): limit */
	mov	(%rsi), %rcx
	HOLD_LOAD
2:
	pause
	lfence
	rdtsc
	shl	$32, %rdx
	or	%rdx, %rax
	mov	%rax, %rdx
	sub	%rcx, %rdx
	jb	3f
	cmp	0(%rsp), %rdx
	ja	3f
	mov	%rax, %rcx
	cmp	8(%rsp), %rcx
	jb	2b
3:
	mov	16(%rsp), %rax
	mov	%rcx, (%rax)
	add	$24, %rsp
	HOLD_END
	.size	hold_spin, . - hold_spin

	/* void hold_call(struct held *, uint32_t port, uint32_t value) */
	FUNCTION hold_call
	HOLD_BEGIN
	mov	%edx, %eax
	mov	%esi, %edx
	xor	%ecx, %ecx
	HOLD_LOAD
	outl	%eax, %dx
	HOLD_END
	.size	hold_call, . - hold_call

	.section .note.GNU-stack, "", @progbits
