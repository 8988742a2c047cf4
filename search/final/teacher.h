#ifndef SPX_TEACHER_H
#define SPX_TEACHER_H
/*
 * Training with a teacher: a trained network whose logits and activations a student learns beside
 * labels. The whole loss is
 *
 *   (1 - W) * (cross-entropy + auxiliary weight * auxiliary cross-entropy)
 *   + W * T^2 * KL(softmax(teacher / T) || softmax(student / T))          arXiv 1503.02531, 2
 *   + B * sum over names of mean((map(student) - map(teacher))^2)         arXiv 1612.03928, 3.1
 *
 * where a map is an activation's attention map, and the mean is over images and pixels. So has the
 * second work's own code, whose beta is B; its text has beta/2 before a sum of norms. The teacher
 * is evaluated in every step, from running statistics, on the student's augmented images; nothing
 * of it changes.
 */
#include "host/train/trainer.h"
#include "search/final/model.h"

/** What a teacher is to teach. */
typedef struct spx_distill_options {
    /** Model, checkpoint or folder of a run; NULL: there is none, and the rest is not read. */
    const char *teacher;
    float weight;      /* W, 0..1 */
    float temperature; /* T > 0 */
    float attention;   /* B >= 0; 0: no attention transfer */
    /** Activations, "NAME,...": "cells.3", "stages.1", or the path of a node. NAME=TEACHERS where
     * the teacher's is called otherwise. NULL: all cells of the student; where either network has
     * none, all stages. */
    const char *attention_at;
    bool distances; /* tell how far the student's ReLUs are from the teacher's of the same names */
} spx_distill_options;

#define SPX_DISTANCES_MAX 256

/** A network evaluated beside another one's training, on its device. */
typedef struct spx_teacher spx_teacher;

/**
 * Opens a teacher and makes its program.
 * @param o        borrowed; names a teacher
 * @param student  what is trained: input and classes must be the teacher's
 * @param side     of the images it is trained on; 0: the input's
 * @param images   what the student is shown; must be what the teacher takes, by rules
 * @param tuning   as in spx_program_options; borrowed for the call
 * @return SPX_OK; SPX_EINVAL naming the file and what differs, the name of an activation that is
 *         not there, a number out of range, or that the file is a deployed model; what
 *         spx_model_open and spx_program_create return
 */
SPX_MUST_CHECK spx_status spx_teacher_open(spx_teacher **out, spx_stream *stream,
                                           const spx_distill_options *o,
                                           const spx_final_spec *student,
                                           const spx_preprocess *images,
                                           const spx_preprocess_rules *rules, int side,
                                           int64_t batch, struct spx_tuning *tuning);
void spx_teacher_close(spx_teacher *t); /* NULL is a no-op */

const char *spx_teacher_digest(const spx_teacher *t);                 /* of its file */
const spx_distill_options *spx_teacher_options(const spx_teacher *t); /* as given */

/** The losses that a teacher adds; attention is SPX_NO_TENSOR where it teaches none. */
typedef struct spx_taught {
    spx_tid distillation, attention;
    spx_tid distance[SPX_DISTANCES_MAX]; /* of the student's ReLUs outside the auxiliary head, in
                                            graph order; see spx_g_relu_distance */
    int n_distances;
} spx_taught;

/**
 * Adds the teacher's answers to the student's network, as inputs behind all others, and the losses.
 * @return SPX_OK; SPX_EINVAL naming an activation or a ReLU that one of them lacks, or whose size
 *         is another
 */
SPX_MUST_CHECK spx_status spx_teacher_attach(const spx_teacher *t, const spx_network *student,
                                             spx_taught *out);

/** What the student's trainer asks in every step; borrowed from t. NULL for NULL. */
const spx_guide *spx_teacher_guide(const spx_teacher *t);
/** What the trainer's workspace must have room for; 0 for NULL. */
size_t spx_teacher_workspace_bytes(const spx_teacher *t);

#endif
