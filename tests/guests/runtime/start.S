/* SPDX-License-Identifier: Apache-2.0 */
/* The entry point, the same for all vCPUs, and the note that makes the file a payload. */

	.section .text.entry, "ax", @progbits
	.globl payload_start
	.type payload_start, @function
payload_start:
	/* rdi and rsi are payload_main()'s arguments already, and the stack is aligned as after
	 * a call. */
	xor	%ebp, %ebp
	cld
	call	payload_enter
	/* payload_enter() does not return; if it did, this is the fault that says so. */
	ud2
	.size payload_start, . - payload_start

	.section .note.xmigrate, "a", @note
	.balign 4
	.long	2f - 1f		/* length of the owner's name */
	.long	4f - 3f		/* length of the description */
	.long	1		/* type: contract version */
1:	.asciz	"xmigrate"
2:	.balign 4
3:	.long	1
4:	.balign 4

	.section .note.GNU-stack, "", @progbits
