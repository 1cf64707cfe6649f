"""Every fault that an attack on the whole product found has a test that would have caught it."""

import re
from pathlib import Path

import pytest

UNIT = Path(__file__).parent

# Section and number of the fault, and what it was -> file and name of the test. D7 is documented
# instead: a regular expression of the user's own can be made to take for ever (SECURITY.md).
FAULTS = {
    "A1 a record removes what lies outside": (
        "engine/test_trust.py", "records_that_name_what_lies_outside_remove_nothing"),
    "A2 any page, any user reads beside the store": (
        "io/test_viewing_server.py", "another_name_or_page_is_refused"),
    "A3 a link in the store is served": (
        "io/test_viewing_server.py", "what_is_no_file_of_the_store_is_not_there"),
    "A4 a level outside the store is touched": (
        "io/test_zarr_outside.py", "a_level_outside_is_refused_before_it_is_touched"),
    "A5 requests of nonsense, half-open connections": (
        "io/test_viewing_server.py", "connections_are_bounded_and_a_slow_request_is_given_up"),
    "B1 changed metadata, size kept": (
        "engine/test_damage.py", "one_changed_bit_in_each_kind_of_output_is_noticed_and_mended"),
    "B2 a flipped bit in a store": (
        "engine/test_damage.py", "a_damage_that_no_time_betrays_is_found_by_the_reader_and_mended"),
    "B3 info --check says valid": (
        "io/test_checksums.py", "any_bit_of_any_file_is_missed_by_no_check"),
    "B4 codecs without a checksum": (
        "io/test_checksums.py", "any_bit_of_any_file_is_missed_by_no_check"),
    "B5 raw data changed, size and time kept": (
        "engine/test_damage.py", "a_raw_file_changed_with_size_and_time_put_back_is_noticed"),
    "B6 raw data changed under the run": (
        "acquisition/read/test_raw_check.py",
        "a_file_that_changed_after_the_inspection_costs_its_tile"),
    "B7 an edited table": (
        "engine/test_damage.py", "one_changed_bit_in_each_kind_of_output_is_noticed_and_mended"),
    "B8 a ledger that was cut": (
        "engine/test_damage.py", "every_way_to_cut_a_ledger_is_an_error_or_loses_whole_rows"),
    "B9 a TIFF of complex numbers": (
        "acquisition/find/test_tiff_source.py",
        "a_tile_of_complex_numbers_is_skipped_with_the_reason"),
    "B10 a broken-off run looks finished": (
        "engine/test_damage.py", "a_run_that_is_broken_off_never_looks_finished"),
    "C1 two tiles on the diagonal": (
        "engine/test_run.py", "two_tiles_on_the_diagonal_are_a_slice"),
    "C2 negative values": (
        "slices/test_surface.py", "a_slice_of_negative_values_is_refused_in_words"),
    "C3 an exception in one slice": (
        "engine/test_run.py", "a_bug_in_one_slice_costs_that_slice_and_the_run_ends_with_1"),
    "C4 absurd pitch, index, hint": (
        "acquisition/test_bounded.py", "an_index_beyond_all_numbers_is_no_lattice_index"),
    "C5 positions that are no numbers, folders named like tiles": (
        "acquisition/test_bounded.py", "a_folder_named_like_a_tile_is_left_out"),
    "C6 any value of a parameter": (
        "engine/test_any_parameter.py", "any_value_is_taken_or_refused_by_name"),
    "C7 any metadata of a store": (
        "io/test_zarr_fuzz.py", "any_value_in_any_place_of_the_metadata_is_one_line"),
    "D1 100 000 positions": (
        "acquisition/test_bounded.py",
        "a_tile_configuration_of_a_hundred_thousand_lines_is_read"),
    "D2 100 000 rows": (
        "acquisition/find/test_table_source.py",
        "a_table_of_a_hundred_thousand_rows_is_read_in_seconds"),
    "D3 one tile far off": (
        "acquisition/test_bounded.py", "a_table_with_one_tile_far_off_stops_the_run"),
    "D4 100 000 levels": (
        "engine/test_any_parameter.py", "more_levels_than_any_disk_holds_are_refused"),
    "D5 a pipe in place of a file": (
        "cli/test_bad_input.py", "a_command_that_gets_what_it_does_not_take_says_one_line"),
    "D6 bombs": (
        "formats/test_reader.py",
        "a_table_that_expands_like_a_bomb_is_refused_before_it_fills_memory"),
    "E1 Ctrl-C in the first seconds": (
        "cli/test_signals.py", "in_the_first_seconds_an_interruption_is_one_line"),
    "E2 Ctrl-C later": (
        "cli/test_signals.py", "a_run_that_is_interrupted_says_one_line"),
    "E3 SIGTERM": (
        "cli/test_signals.py", "a_stage_command_that_is_interrupted_says_one_line"),
    "E4 a disk without locks": (
        "engine/test_disk.py", "a_disk_without_locks_is_worked_on_with_a_warning"),
    "E5 a link to another disk": (
        "engine/test_disk.py", "a_folder_that_cannot_be_moved_or_is_in_use_goes_all_the_same"),
    "E6 a store that somebody reads": (
        "engine/test_disk.py", "a_folder_that_cannot_be_moved_or_is_in_use_goes_all_the_same"),
    "E7 a long TMPDIR, few descriptors, names that are no text": (
        "cli/test_surroundings.py", "workers_start_where_the_temporary_folder_has_a_long_name"),
    "E8 the server of workers is killed": (
        "engine/test_workers.py", "a_server_of_workers_that_is_killed_is_one_line"),
    "E9 a log on a full disk": (
        "engine/test_disk.py", "results_do_not_depend_on_the_log"),
    "E10 the output is a link to nothing": (
        "engine/test_disk.py", "an_output_that_is_a_link_to_nothing_is_named"),
    "E11 a power cut": (
        "engine/test_power_cut.py", "after_a_power_cut_no_record_names_what_is_not_there"),
    "H1 names in records, by property": (
        "engine/test_trust.py", "whatever_a_record_names_nothing_outside_changes"),
    "H2 what the server shows": (
        "io/test_viewing_server.py",
        "the_stores_own_files_come_to_programs_and_to_the_viewers_page"),
    "H3 one byte of each kind, 5 places": (
        "engine/test_damage.py", "one_changed_bit_in_each_kind_of_output_is_noticed_and_mended"),
    "H4 raw data between inspection and reading": (
        "acquisition/read/test_raw_check.py",
        "a_file_that_changes_while_it_is_read_costs_its_tile"),
    "H5 all subsets of 3 x 3 tiles": (
        "mosaic/test_placement.py", "whatever_tiles_are_left_of_a_slice_are_placed"),
    "H6 100 000 rows, far tiles, 33 levels": (
        "acquisition/test_bounded.py", "a_hundred_thousand_stray_positions_are_indexed"),
    "H7 any byte, any value, any command": (
        "cli/test_bad_input.py", "any_byte_of_a_store_may_be_another_for_any_command"),
    "H8 signals at every record": (
        "cli/test_signals.py", "at_every_record_of_a_run_an_interruption_is_one_line"),
    "H9 ENOSYS, EXDEV, ENOTEMPTY": (
        "engine/test_disk.py", "a_folder_that_cannot_be_moved_or_is_in_use_goes_all_the_same"),
    "H10 copies of a disk under a run": (
        "engine/test_power_cut.py", "after_a_power_cut_no_record_names_what_is_not_there"),
    "H11 kills by records, and in stack": (
        "engine/test_resume.py", "a_killed_run_keeps_every_task_that_has_a_record"),
    "H12 closed streams": (
        "cli/test_surroundings.py", "a_run_with_closed_streams_ends_as_with_open_ones"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_was_found_has_a_test(fault):
    file, name = FAULTS[fault]
    assert re.search(rf"^def test_{name}\(", (UNIT / file).read_text(), re.MULTILINE)


def test_no_fault_is_left_out():
    counts = {"A": 5, "B": 10, "C": 7, "D": 7, "E": 11, "H": 12}
    everything = {f"{section}{n + 1}" for section, most in counts.items() for n in range(most)}
    assert {fault.partition(" ")[0] for fault in FAULTS} == everything - {"D7"}
    assert "take for ever" in (UNIT.parents[1] / "SECURITY.md").read_text()
