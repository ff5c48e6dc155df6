/* Decoding with libjpeg in the order in which Pillow calls it. libjpeg leaves a failed call by longjmp: it ends in the
 * function of this file that was called, so that it never crosses a frame of the caller. */

#include <limits.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>
#include <jerror.h>

/* Numbers that lib.rs knows too. */
enum status { DONE, TRUNCATED, CORRUPT, UNSUPPORTED, TOO_MUCH_MEMORY, TOO_MANY_SCANS };
enum output { COLOURS, COMPONENTS, RGB_OF_YCBCR };

struct decoder {
    struct jpeg_decompress_struct cinfo;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    enum status status;
    int max_scans;
    /* Whether an end marker takes the place of what is missing. */
    boolean pads;
    /* Whether something was missing. */
    boolean padded;
};

static struct decoder *decoder_of(j_common_ptr cinfo) { return cinfo->client_data; }

static void fail(j_common_ptr cinfo)
{
    struct decoder *decoder = decoder_of(cinfo);

    switch (cinfo->err->msg_code) {
    case JERR_OUT_OF_MEMORY:
    case JERR_NO_BACKING_STORE:
    case JERR_WIDTH_OVERFLOW:
    case JERR_IMAGE_TOO_BIG:
        decoder->status = TOO_MUCH_MEMORY;
        break;
    case JERR_ARITH_NOTIMPL:
    case JERR_BAD_PRECISION:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_CCIR601_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_NOT_COMPILED:
    case JERR_NOTIMPL:
    case JERR_SOF_UNSUPPORTED:
        decoder->status = UNSUPPORTED;
        break;
    default:
        decoder->status = CORRUPT;
    }
    longjmp(decoder->failed, 1);
}

static void say_nothing(j_common_ptr cinfo) { (void)cinfo; }

static void ignore(j_decompress_ptr cinfo) { (void)cinfo; }

/* Called where all bytes are used up. FALSE makes libjpeg return to its caller, as if more were to come. */
static boolean fill_input_buffer(j_decompress_ptr cinfo)
{
    static const JOCTET end[] = { 0xFF, JPEG_EOI };
    struct decoder *decoder = decoder_of((j_common_ptr)cinfo);

    decoder->padded = TRUE;
    if (!decoder->pads)
        return FALSE;
    decoder->source.next_input_byte = end;
    decoder->source.bytes_in_buffer = sizeof(end);
    return TRUE;
}

static void skip_input_data(j_decompress_ptr cinfo, long number)
{
    struct jpeg_source_mgr *source = cinfo->src;
    size_t skipped = number <= 0 ? 0 : (size_t)number;

    if (skipped > source->bytes_in_buffer)
        skipped = source->bytes_in_buffer;
    source->next_input_byte += skipped;
    source->bytes_in_buffer -= skipped;
}

static void monitor(j_common_ptr cinfo)
{
    struct decoder *decoder = decoder_of(cinfo);

    if (((j_decompress_ptr)cinfo)->input_scan_number > decoder->max_scans) {
        decoder->status = TOO_MANY_SCANS;
        longjmp(decoder->failed, 1);
    }
}

void clip_search_jpeg_free(struct decoder *decoder)
{
    /* It frees what it can and calls none of the functions above. */
    jpeg_destroy_decompress(&decoder->cinfo);
    free(decoder);
}

/* FALSE where there is no memory for it. */
static boolean create(struct decoder *decoder)
{
    if (setjmp(decoder->failed))
        return FALSE;
    jpeg_create_decompress(&decoder->cinfo);
    return TRUE;
}

/* A decoder, or NULL where there is no memory for it. */
struct decoder *clip_search_jpeg_new(int pads)
{
    struct decoder *decoder = calloc(1, sizeof(*decoder));

    if (decoder == NULL)
        return NULL;
    decoder->cinfo.err = jpeg_std_error(&decoder->errors);
    decoder->errors.error_exit = fail;
    decoder->errors.output_message = say_nothing;
    /* libjpeg keeps both pointers, and sets the rest of what it is given to zero. */
    decoder->cinfo.client_data = decoder;
    if (!create(decoder)) {
        clip_search_jpeg_free(decoder);
        return NULL;
    }
    decoder->source.init_source = ignore;
    decoder->source.fill_input_buffer = fill_input_buffer;
    decoder->source.skip_input_data = skip_input_data;
    decoder->source.resync_to_restart = jpeg_resync_to_restart;
    decoder->source.term_source = ignore;
    decoder->cinfo.src = &decoder->source;
    decoder->progress.progress_monitor = monitor;
    decoder->cinfo.progress = &decoder->progress;
    decoder->max_scans = INT_MAX;
    decoder->pads = pads;
    return decoder;
}

/* What was wrong, where a status was not DONE: at most 199 characters (JMSG_LENGTH_MAX less one) and a NUL. */
void clip_search_jpeg_message(struct decoder *decoder, char message[JMSG_LENGTH_MAX])
{
    decoder->errors.format_message((j_common_ptr)&decoder->cinfo, message);
}

/* Reads tables alone, as TIFF files have them, so that the next call of header() knows them. The bytes are used until
 * the call ends. */
int clip_search_jpeg_tables(struct decoder *decoder, const uint8_t *bytes, size_t length)
{
    struct jpeg_decompress_struct *cinfo = &decoder->cinfo;

    if (setjmp(decoder->failed))
        return decoder->status;
    decoder->source.next_input_byte = bytes;
    decoder->source.bytes_in_buffer = length;
    switch (jpeg_read_header(cinfo, FALSE)) {
    case JPEG_HEADER_TABLES_ONLY:
        return DONE;
    case JPEG_SUSPENDED:
        return TRUNCATED;
    default:
        ERREXIT(cinfo, JERR_SOI_DUPLICATE);
        return CORRUPT;
    }
}

/* Reads up to the first scan, and says width, height, components and bits of a sample. The bytes are used until the
 * decoder is freed. */
int clip_search_jpeg_header(struct decoder *decoder, const uint8_t *bytes, size_t length, uint32_t header[4])
{
    struct jpeg_decompress_struct *cinfo = &decoder->cinfo;
    int found;

    if (setjmp(decoder->failed))
        return decoder->status;
    decoder->source.next_input_byte = bytes;
    decoder->source.bytes_in_buffer = length;
    do
        found = jpeg_read_header(cinfo, FALSE);
    while (found == JPEG_HEADER_TABLES_ONLY && !decoder->padded);
    if (found != JPEG_HEADER_OK)
        return TRUNCATED;
    header[0] = cinfo->image_width;
    header[1] = cinfo->image_height;
    header[2] = cinfo->num_components;
    header[3] = cinfo->data_precision;
    return DONE;
}

/* Has the image decoded in 1/denominator of its size, 1 to 8, and says width and height of the output. */
int clip_search_jpeg_scale(struct decoder *decoder, int denominator, uint32_t size[2])
{
    struct jpeg_decompress_struct *cinfo = &decoder->cinfo;

    if (setjmp(decoder->failed))
        return decoder->status;
    cinfo->scale_num = 1;
    cinfo->scale_denom = denominator;
    jpeg_calc_output_dimensions(cinfo);
    size[0] = cinfo->output_width;
    size[1] = cinfo->output_height;
    return DONE;
}

/* Decodes into rows of width * components bytes without padding: gray, RGB or CMYK by the number of components;
 * components as they are stored; or RGB of what is YCbCr, whatever markers say. Says in `padded` whether an end marker took the place of something. */
int clip_search_jpeg_decode(struct decoder *decoder, enum output output, int max_scans, long max_memory, uint8_t *pixels,
                            int *padded)
{
    struct jpeg_decompress_struct *cinfo = &decoder->cinfo;
    size_t stride;

    if (setjmp(decoder->failed)) {
        /* Beyond the last row an error is no loss, where losses are accepted. */
        if (decoder->status == CORRUPT && decoder->pads && cinfo->output_scanline > 0 &&
            cinfo->output_scanline == cinfo->output_height) {
            *padded = TRUE;
            return DONE;
        }
        return decoder->status;
    }
    decoder->max_scans = max_scans;
    cinfo->mem->max_memory_to_use = max_memory;
    if (output == COMPONENTS) {
        cinfo->jpeg_color_space = cinfo->out_color_space = JCS_UNKNOWN;
    } else if (output == RGB_OF_YCBCR) {
        cinfo->jpeg_color_space = JCS_YCbCr;
        cinfo->out_color_space = JCS_RGB;
    } else if (cinfo->num_components == 1) {
        cinfo->out_color_space = JCS_GRAYSCALE;
    } else {
        cinfo->out_color_space = cinfo->num_components == 3 ? JCS_RGB : JCS_CMYK;
    }
    if (!jpeg_start_decompress(cinfo))
        return TRUNCATED;
    /* Of the output's width, which lib.rs knows. */
    stride = (size_t)cinfo->output_width * cinfo->num_components;
    while (cinfo->output_scanline < cinfo->output_height) {
        JSAMPROW row = pixels + stride * cinfo->output_scanline;
        if (jpeg_read_scanlines(cinfo, &row, 1) != 1)
            return TRUNCATED;
    }
    *padded = decoder->padded;
    /* Behind the last row an end marker may be missing, but nothing may be wrong. */
    jpeg_finish_decompress(cinfo);
    return DONE;
}
