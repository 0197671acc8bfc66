# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Completion of xmigrate(1) for bash. Commands and options come from `xmigrate help --synopsis`, so that they cannot differ
# from the program's.

_xmigrate_words() # command-line word being completed, then what it may be
{
	local word=$1
	shift
	mapfile -t COMPREPLY < <(compgen -W "$*" -- "$word")
}

_xmigrate_options() # command
{
	xmigrate help --synopsis 2>/dev/null | grep "^$1\b" | grep -o -- '--[a-z-]*'
	echo --run-dir --socket --json --quiet --verbose --help
}

_xmigrate()
{
	local word=${COMP_WORDS[COMP_CWORD]}
	local command='' index before=0

	for ((index = 1; index < COMP_CWORD; index++)); do
		case ${COMP_WORDS[index]} in
		--live) command=${command:-migrate} ;;
		--run-dir | --socket) [[ $command ]] || ((index++)) ;;
		-*) ;;
		*) if [[ $command ]]; then ((before++)); else command=${COMP_WORDS[index]}; fi ;;
		esac
	done

	if [[ ! $command && $word == -* ]]; then
		_xmigrate_words "$word" "$(_xmigrate_options '') --live --version"
	elif [[ ! $command ]]; then
		_xmigrate_words "$word" "$(xmigrate help --synopsis 2>/dev/null | cut -d' ' -f1)"
	elif [[ $word == -* ]]; then
		_xmigrate_words "$word" "$(_xmigrate_options "$command")"
	elif [[ $command == help ]]; then
		_xmigrate_words "$word" "$(xmigrate help --synopsis 2>/dev/null | cut -d' ' -f1)"
	elif [[ $command == create || $command == restore || ($command == save && $before -gt 0) ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
	elif [[ $command == migrate && $before -gt 0 ]]; then
		mapfile -t COMPREPLY < <(compgen -A hostname -- "$word")
	elif [[ $command != events && $command != version && $command != operations ]]; then
		_xmigrate_words "$word" "$(xmigrate list --names 2>/dev/null)"
	fi
}

complete -o filenames -o bashdefault -F _xmigrate xmigrate
