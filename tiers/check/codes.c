// SPDX-License-Identifier: Apache-2.0
#include "tiers/check/codes.h"

#include <assert.h>
#include <stddef.h>

#define WITHOUT_IT "the pool cannot be opened, or only without it, where replicas have its data"
#define RESTORE_METADATA \
	"the pool cannot be opened: bring the metadata back with terrace restore-metadata"

static const struct check_kind kinds[] = {
	{CHECK_TREE, RESTORE_METADATA, NULL},
	{CHECK_VALUE, "what the value said is lost", "drops the value, and mends what hangs on it"},
	{CHECK_JOURNAL, RESTORE_METADATA, NULL},
	{CHECK_KEY, "nothing reads it", "drops it"},
	{CHECK_COUNTS, "the pool cannot be opened", "counts anew"},
	{CHECK_COUNT_OBJECTS, "df tells a wrong number of files", "sets the number"},
	{CHECK_LIMITS, "a number could be given out twice, and data be taken for other data",
	 "raises the limit"},
	{CHECK_RAM_LOG,
	 "the pool cannot be opened: save the RAM folder, remove it, and mount: what only it had "
	 "is lost",
	 NULL},
	{CHECK_COPY,
	 "terrace restore-metadata would take an older one: remove it, and mount and unmount the "
	 "pool to have another",
	 NULL},
	{CHECK_DIRECTORY, WITHOUT_IT ": mount its disk, or mend the path", NULL},
	{CHECK_LABEL_MISSING, WITHOUT_IT,
	 "writes the label, when what lies in "
	 "the directory says which it is"},
	{CHECK_LABEL_DAMAGED, "the pool cannot be opened",
	 "writes the label, when what lies in "
	 "the directory says which it is"},
	{CHECK_LABEL_FOREIGN, "the pool cannot be opened: mend the paths in the configuration",
	 NULL},
	{CHECK_OBJECT,
	 "the file cannot be opened, its attributes and the places of its data are "
	 "lost",
	 "drops the record, and mends what hangs on it"},
	{CHECK_EXTENT, "a range of the file is lost, and reads as an error or as zeros",
	 "marks the range as lost: reading it is an error"},
	{CHECK_EXTENTS_ALONE, "data that no file shows", "makes a file of it in /lost+found"},
	{CHECK_OVERLAP, "which data is the file's is not known: copy the file and delete it", NULL},
	{CHECK_BEYOND_SIZE, "data that the file does not show",
	 "sets the file's size to the data's "
	 "end"},
	{CHECK_LOST, "the range is lost, reading it is an error: restore the file, or delete it",
	 NULL},
	{CHECK_OUTSIDE_FRAME,
	 "the range is lost, reading it is an error: restore the file, or delete it", NULL},
	{CHECK_STORED, "du is wrong for the file", "sets the number"},
	{CHECK_MAP_KIND, "data that the file does not show", "sets the flag"},
	{CHECK_ORPHAN, "the pool may not open", "drops the record"},
	{CHECK_SYNCED_ALONE, "nothing: the next mount drops it", "drops it"},
	{CHECK_SYNCED, "the pool cannot be opened after a power loss",
	 "drops the record: one synchronous write is lost unless it has been stored"},
	{CHECK_SYNCED_GAP, "the pool cannot be opened after a power loss",
	 "numbers the others anew: one synchronous write is lost unless it has been stored"},
	{CHECK_FRAME, "all data in the frame cannot be read",
	 "makes the record anew from the frame itself, where it can be found"},
	{CHECK_LIVE, "the frame would be freed too early, with data in it, or never",
	 "sets the number"},
	{CHECK_UNUSED, "space that nothing uses", "frees it"},
	{CHECK_SHARED_FLAG, "moving the frame would lose data of files that share it",
	 "sets the flag"},
	{CHECK_SHARED, "moving the frame would lose data of a file that shares it",
	 "sets it to as much as a frame can hold"},
	{CHECK_USER_UNKNOWN, "moving the frame would lose this file's data", "adds the record"},
	{CHECK_FRAMES_OVERLAP, "data of one of the two is overwritten: --deep tells which", NULL},
	{CHECK_HEAT, "the data would stay hot for ever", "sets the time to now"},
	{CHECK_FRAME_HEADER, "reading the range is an error: restore the file, or delete it", NULL},
	{CHECK_FRAME_DATA, "reading the range is an error: restore the file, or delete it", NULL},
	{CHECK_FOUND,
	 "data of a file whose record is lost; where frames disagree, the newest one "
	 "counts, and that may be older than the file was",
	 "makes a file of it in /lost+found"},
	{CHECK_OTHER_BYTES, "the file shows other data than its own: restore it, or delete it",
	 NULL},
	{CHECK_PLACED_MISSING, "space beside the frame may be given back with the frame in it",
	 "adds the record"},
	{CHECK_PLACED, "nothing finds it", "drops the record"},
	{CHECK_SEGMENT_MISSING, "the next mount would remove the file, with data in it",
	 "makes the record anew from its frames"},
	{CHECK_SEGMENT, "the pool cannot be opened", "makes the record anew from its frames"},
	{CHECK_ACCOUNTS, "df, usage and cleaning go by wrong numbers", "sets the numbers"},
	{CHECK_SEGMENT_LEN, "the next mount would cut the file, with data in it",
	 "sets the length"},
	{CHECK_FRAME_PLACE, "all data in the frame cannot be read",
	 "sets it to where the segment is"},
	{CHECK_FILE_MISSING, "all data in the segment cannot be read", NULL},
	{CHECK_FILE_SHORT, "data behind its end cannot be read", NULL},
	{CHECK_FILE_HEADER, "files cannot be rebuilt from this segment alone", "writes the header"},
	{CHECK_FILE_STRAY, "takes space; the next mount removes it", "removes it"},
	{CHECK_SEGMENT_PLACE, "the pool cannot be opened",
	 "sets the tier and directory to where the segment's file is"},
	{CHECK_PLAIN_MISSING, "reading and writing the file is an error: restore it, or delete it",
	 NULL},
	{CHECK_PLAIN_STRAY, "takes space; the next mount removes it", "removes it"},
	{CHECK_NAME, "the name cannot be used", "drops the name; the file goes to /lost+found"},
	{CHECK_NAME_DANGLING, "the name leads to nothing", "drops the name"},
	{CHECK_NAME_TYPE, "programs take the file for another kind", "sets the type"},
	{CHECK_NAME_COOKIE, "the name is listed and cannot be opened", "puts it where it belongs"},
	{CHECK_NAME_GAP, "names behind the gap are listed and cannot be opened", "fills the gap"},
	{CHECK_NAME_TWICE, "one of the two cannot be reached",
	 "drops the second name; the file goes to /lost+found"},
	{CHECK_FOLDER_MISSING, "the names in it cannot be reached",
	 "makes the folder anew, in /lost+found"},
	{CHECK_ATTRIBUTES, "the file cannot be opened",
	 "gives it root as owner, mode 0600 (folders 0700) and the time of now"},
	{CHECK_LINKS, "the file would be deleted too early, or never", "sets the number"},
	{CHECK_NAMELESS, "the file has no name", "gives it one in /lost+found"},
	{CHECK_ORPHAN_NAMED, "the next mount would delete the file",
	 "drops the order to delete it"},
	{CHECK_FOLDER_NAMES, "a folder with two names: programs may run in circles",
	 "keeps one of the names"},
	{CHECK_FOLDER_LOOP, "a circle of folders that cannot be reached",
	 "cuts it; the folder goes to /lost+found"},
	{CHECK_LINK_TARGET, "the symbolic link leads nowhere, its target is lost", NULL},
	{CHECK_LINK_ALONE, "nothing reads it, or its length is told wrong",
	 "drops the target, or sets the length"},
	{CHECK_XATTR_ALONE, "nothing reads it", "drops the attribute"},
	{CHECK_FLAGS, "extended attributes, ACLs or settings are not seen", "sets the flag"},
	{CHECK_PARENT, "the wrong settings are inherited, paths are told wrong", "sets the folder"},
	{CHECK_ROOT, "the pool cannot be opened", "makes the root folder anew"},
	{CHECK_SETTINGS, "nothing reads it", "drops it"},
	{CHECK_JOB, "the job cannot go on", "drops the job"},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

const struct check_kind *check_kind_of(enum check_code code)
{
	size_t i = 0;

	while (i < KINDS && kinds[i].code != code)
		i++;
	assert(i < KINDS);
	return &kinds[i];
}

const struct check_kind *check_kinds(unsigned *n)
{
	*n = KINDS;
	return kinds;
}
